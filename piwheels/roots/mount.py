"""What a sandbox mounts for a build that runs on a root."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from piwheels.errors import ConfigError
from piwheels.model import Struct
from piwheels.roots.architectures import ARCHITECTURES, binfmt_registration

#: The folders of a root that layers extend; a layer has all of them.
OVERLAID = ("usr", "etc")
#: Options of mount(2) are one page.
_MAX_OPTION_BYTES = 4000


class RootMount(Struct, frozen=True, kw_only=True):
    """A root, the layers over it, and how its programs run here."""

    root: Path
    layers: tuple[Path, ...] = ()  # in any order: they have no file in common
    arch: str  # Debian's name of its architecture
    emulator: Path | None = None  # what to register at binfmt_misc, if the system does not have it
    environment: tuple[tuple[str, str], ...] = ()  # for each program
    prefix: tuple[str, ...] = ()  # of each command
    emulated: bool = False

    def with_layers(self, layers: tuple[Path, ...]) -> "RootMount":
        """The same root with other layers."""
        return replace(self, layers=layers)

    @property
    def sources(self) -> tuple[Path, ...]:
        """The folders and files of this machine that it needs."""
        return (self.root, *self.layers, *filter(None, (self.emulator,)))

    @property
    def binfmt(self) -> bool:
        """Whether its emulator has to be registered at binfmt_misc."""
        return self.emulator is not None

    def binfmt_lines(self, visible: Sequence[str]) -> list[str]:
        """What to write to binfmt_misc; `visible` says where `sources` are."""
        if self.emulator is None:
            return []
        return [binfmt_registration(ARCHITECTURES[self.arch], visible[-1])]

    def overlay_option(self, folder: str, visible: Sequence[str]) -> str:
        """The `lowerdir` of an overlay of one folder of the root, such as "usr".

        Args:
            folder: its name.
            visible: where `sources` are.
        """
        root, *layers = visible[: len(self.layers) + 1]
        paths = [f"{place}/{folder}" for place in (*layers, root)]
        option = "lowerdir=" + ":".join(map(_escaped, paths))
        if len(option) > _MAX_OPTION_BYTES:
            raise ConfigError(f"{len(layers)} layers over {self.root} are too many")
        return option


def merged_usr_links(root: Path) -> Iterable[tuple[str, str]]:
    """(target, link) for each link of a root's top folder into its /usr."""
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        link = root / name
        if link.is_symlink():
            yield str(link.readlink()), f"/{name}"


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
