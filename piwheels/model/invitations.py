"""Invitations of builders: who may join the farm by a token, how often and until when."""

from datetime import datetime

from msgspec import field

from piwheels.model.base import Struct


class IssuedInvitation(Struct, frozen=True):
    """An invitation as the master remembers it; the token's secret is not in it."""

    id: str  # the first digits of `public`
    public: str  # of the token's one-time key pair
    invited_by: str
    invited_at: datetime
    expires_at: datetime
    name: str = ""  # that the builder gets; "": its host's
    authorize: bool = False  # who joins may build at once, and does not wait for an operator
    uses: int = 1  # how many builders may join by it
    joined: dict[str, str] = field(default_factory=dict)  # the builders' names, by their keys
    revoked_by: str = ""

    def ended(self, now: datetime) -> str:
        """Why nobody may join by it any more; "" while somebody may."""
        if self.revoked_by:
            return f"was revoked by {self.revoked_by}"
        if len(self.joined) >= self.uses:
            return "was used"
        return "has expired" if now >= self.expires_at else ""
