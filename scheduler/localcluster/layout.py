"""Where things lie in a cluster's state folder."""

from pathlib import Path


class Layout:
    """The files of one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.root = state_dir.absolute()
        self.authority = self.root / "pki" / "ca.crt"
        self.apiserver_certificate = self.root / "pki" / "apiserver.crt"
        self.apiserver_key = self.root / "pki" / "apiserver.key"
        self.component_certificate = self.root / "pki" / "component.crt"
        self.component_key = self.root / "pki" / "component.key"
        self.account_private_key = self.root / "pki" / "service-accounts.key"
        self.account_public_key = self.root / "pki" / "service-accounts.pub"
        self.etcd_data = self.root / "etcd"
        self.scheduler_config = self.root / "config" / "kube-scheduler.yaml"
        self.own_scheduler_config = self.root / "config" / "bayplan-kube-scheduler.yaml"
        self.kwok_config = self.root / "config" / "kwok.yaml"
        self.lock = self.root / "lock"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of one user; the administrator's is the one that people look for."""
        return self.root / "kubeconfig" if user == "admin" else self.root / "kubeconfigs" / user

    def log(self, part: str) -> Path:
        """What the part wrote, over all its starts."""
        return self.root / "logs" / f"{part}.log"
