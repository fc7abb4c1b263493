"""What the settings file chooses for commands that plan on the user's machine as the service would."""

from pathlib import Path

from scheduler.app.own_rules import UnknownRuleError, load_rules
from scheduler.cli.output import BadInputError
from scheduler.config import Settings, SettingsError, load_settings
from scheduler.scoring.own_rules import OwnRules


def read_settings(path: Path | None) -> tuple[Settings, OwnRules]:
    """The settings in the file `path` (None: the built-in ones), and the rules that they choose.

    Raises:
        BadInputError: the file, or a rule that it names, cannot be used.
    """
    try:
        settings = load_settings(path)
        return settings, load_rules(settings.filters, settings.scores)
    except (SettingsError, UnknownRuleError) as err:
        raise BadInputError(str(err)) from err
