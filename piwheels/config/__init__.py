"""The configuration: piwheels.toml, environment and options, merged once into a frozen struct.

Every setting has a default, an environment variable (`PIWHEELS_<SECTION>_<KEY>`) that overrides
the file, and an origin, which `piw config show` prints. Relative paths in a file are relative to
that file, so that a farm's directory can be moved. docs/configuration.md is generated from the
descriptions in `sections`.
"""

from piwheels.config.loading import LoadedConfig as LoadedConfig
from piwheels.config.loading import Setting as Setting
from piwheels.config.loading import load as load
from piwheels.config.named_sections import named_sections_text as named_sections_text
from piwheels.config.names import CONFIG_FILE_NAME as CONFIG_FILE_NAME
from piwheels.config.names import NON_SETTING_VARIABLES as NON_SETTING_VARIABLES
from piwheels.config.names import RENAMED_SETTINGS as RENAMED_SETTINGS
from piwheels.config.names import env_var_name as env_var_name
from piwheels.config.names import static_sections as static_sections
from piwheels.config.sections import Archive as Archive
from piwheels.config.sections import BuilderSection as BuilderSection
from piwheels.config.sections import Config as Config
from piwheels.config.sections import PoolSection as PoolSection
from piwheels.config.sections import PublishSection as PublishSection
from piwheels.config.sections import RootSection as RootSection
from piwheels.config.sections import UpstreamSection as UpstreamSection
from piwheels.config.sources import config_search_path as config_search_path
from piwheels.config.sources import find_config_file as find_config_file
from piwheels.config.sources import read_toml as read_toml
from piwheels.config.sources import to_toml as to_toml
