"""The operations on the seal: show it, rotate the keyring, retire old versions."""

from __future__ import annotations

from secretd import storerequests
from secretd.core.inflight import InFlight
from secretd.core.keyuses import KeyUses
from secretd.core.resealing import Resealing
from secretd.core.sealing import Seal
from secretd.crypto.envelope import Domain
from secretd.errors import BusyError
from secretd.model import Caller


class SealAdmin:
    """What an administrator does with the seal of one daemon."""

    def __init__(
        self, seal: Seal, uses: KeyUses, resealing: Resealing, in_flight: InFlight, looking_back: InFlight
    ) -> None:
        self._seal = seal
        self._uses = uses
        self._resealing = resealing
        self._in_flight = in_flight
        self._looking_back = looking_back

    async def status(self, _: Caller, __: storerequests.SealStatus) -> storerequests.SealReport:
        """Show the versions of both keyrings and how far resealing is."""
        versions = [
            storerequests.KeyringVersions(
                domain.label, keyring.current, len(keyring.versions), await self._uses.used(domain)
            )
            for domain, keyring in sorted(self._seal.keyrings.items(), key=lambda item: item[0].value)
        ]
        progress = self._resealing.progress
        return storerequests.SealReport(tuple(versions), progress.running, progress.resealed, progress.damaged)

    async def rotate(self, _: Caller, __: storerequests.SealRotate) -> storerequests.SealRotated:
        """Give both keyrings a new version, and begin to reseal."""
        await self._seal.rotate()
        self._resealing.start()
        return storerequests.SealRotated(self._seal.keyrings[Domain.SHARED].current)

    async def retire(self, _: Caller, __: storerequests.SealRetire) -> storerequests.SealRetired:
        """Drop the versions that nothing is sealed by.

        Raises:
            OperationInvalidError: records are still sealed by an older version.
            BusyError: a check or a backup still reads records as they were, perhaps by an older version.
        """
        if self._looking_back.any:
            raise BusyError("a check or a backup is under way; retire when it has ended")
        # What was sealed before a rotation may be on its way to the store only now, past the eyes of resealing.
        await self._in_flight.ended()
        await self._resealing.retire()
        return storerequests.SealRetired(self._seal.keyrings[Domain.SHARED].current)
