// Command controlplane is etcd, the Kubernetes control plane and KWOK in one binary.
//
// The first argument (or the name it is called by) says which program to be; the rest are that program's own arguments.
// One binary links the code they share once, so it builds in a third of the time and is a third of the size of five.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	_ "time/tzdata" // time zones of CronJobs

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kwokconfig "sigs.k8s.io/kwok/pkg/config"
	kwok "sigs.k8s.io/kwok/pkg/kwok/cmd"
	kwoklog "sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"

	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics on /metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // kubernetes_build_info
)

// exitUsage is the status for a name that is none of the programs, as for every other bad input.
const exitUsage = 2

// programs maps each name to a function that runs the program with its own name and arguments and returns its exit status.
var programs = map[string]func(args []string) int{
	"etcd":                    runEtcd,
	"kube-apiserver":          runCobra(apiserver.NewAPIServerCommand),
	"kube-controller-manager": runCobra(controllermanager.NewControllerManagerCommand),
	"kube-scheduler":          runCobra(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kwok":                    runKwok,
}

func main() {
	os.Exit(dispatch(os.Args, os.Stderr))
}

// dispatch runs the program that args[0] (by its last path element) or args[1] names.
func dispatch(args []string, stderr io.Writer) int {
	if run, ok := programs[filepath.Base(args[0])]; ok {
		return run(args)
	}
	if len(args) < 2 {
		fmt.Fprintf(stderr, "controlplane: the first argument must name a program: %s\n", names())
		return exitUsage
	}
	run, ok := programs[args[1]]
	if !ok {
		fmt.Fprintf(stderr, "controlplane: no program %q; one of: %s\n", args[1], names())
		return exitUsage
	}
	return run(args[1:])
}

func names() string {
	all := make([]string, 0, len(programs))
	for name := range programs {
		all = append(all, name)
	}
	sort.Strings(all)
	return strings.Join(all, ", ")
}

func runEtcd(args []string) int {
	os.Args = args
	etcdmain.Main(args)
	return 0
}

// runCobra gives the command its arguments through os.Args, because the components read their name from there too.
func runCobra(build func() *cobra.Command) func(args []string) int {
	return func(args []string) int {
		os.Args = args
		return cli.Run(build())
	}
}

// runKwok reads the configuration files before the command is built, because the command's defaults come from them.
func runKwok(args []string) int {
	os.Args = args
	// The components linked beside it declare a --version here that is not the boolean cobra wants.
	pflag.CommandLine = pflag.NewFlagSet(args[0], pflag.ExitOnError)
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, logger := kwoklog.InitFlags(signals.SetupSignalContext(), flags)
	ctx, err := kwokconfig.InitFlags(ctx, flags)
	if err != nil {
		logger.Error("Cannot read the configuration", "err", err)
		return 1
	}
	command := kwok.NewCommand(ctx)
	command.PersistentFlags().AddFlagSet(flags)
	if err := command.ExecuteContext(ctx); err != nil {
		logger.Error("Stopped", "err", err)
		return 1
	}
	return 0
}
