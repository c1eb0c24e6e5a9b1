"""The meaning of the hub's refusals and failures, in words for the person who wrote the spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hfspec.errors import SourceError
from hfspec.sources.patience import IncompleteAnswerError, Patience

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
BAD_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105 -- the hub's words, no secret


@dataclass(frozen=True, slots=True)
class HubRequest:
    """A request for a repository of a hub, and whether it had a token."""

    endpoint: str
    repo: str
    revision: str
    has_token: bool
    patience: Patience

    def explain(self, error: Exception, path: str = "", revisions: Sequence[str] = ()) -> SourceError:
        """Explain an error of the hub's client.

        Args:
            error: The error.
            path: The file that was asked for.
            revisions: The branches and tags that there are.

        Returns:
            The error to raise instead.
        """
        if isinstance(error, GatedRepoError):
            return SourceError(self._gated())
        if isinstance(error, RevisionNotFoundError):
            return SourceError(self._unknown_revision(revisions))
        if isinstance(error, EntryNotFoundError):
            return SourceError(f"{self.repo} has no file {path} at revision {self.revision}.")
        if isinstance(error, HFValidationError):
            return SourceError(f"{self.repo!r} cannot be the name of a repository: {error}")
        if isinstance(error, HfHubHTTPError):
            return SourceError(self._answered(error))
        return SourceError(self._unreachable(error))

    def _gated(self) -> str:
        ask = f"{self.repo} is gated: its authors grant access on request. Ask for it at {self.endpoint}/{self.repo}"
        if self.has_token:
            return f"{ask}; the token in use has no access yet."
        return f"{ask}, then {LOG_IN}."

    def _unknown_revision(self, revisions: Sequence[str]) -> str:
        text = f"{self.repo} has no revision {self.revision!r}: it is not a branch, no tag and no commit there."
        nearest = get_close_matches(self.revision, revisions, n=1)
        if nearest:
            text += f" Did you mean {nearest[0]!r}?"
        return f"{text} Branches and tags there: {', '.join(revisions[:20])}." if revisions else text

    def _answered(self, error: HfHubHTTPError) -> str:
        status = error.response.status_code
        if error.response.headers.get("X-Error-Message") == BAD_TOKEN:
            return f"The hub at {self.endpoint} refuses the token in use; {LOG_IN} with one that is valid."
        if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
            return self._missing_or_private()
        if status == 403:
            return f"The token in use may not read {self.repo}; {LOG_IN} with one that may."
        if status == 429:
            return (
                f"The hub at {self.endpoint} still limits the rate of requests (status 429) when asked for {self.repo};"
                f" wait a while and run again: what was downloaded is kept. Who is logged in may ask more often."
            )
        return (
            f"The hub at {self.endpoint} answered with status {status} when asked for {self.repo}, after"
            f" {self.patience.tries} tries; run again later: what was downloaded is kept."
        )

    def _missing_or_private(self) -> str:
        if self.has_token:
            return (
                f"{self.repo} does not exist on {self.endpoint}, or it is private and the token in use may not see it."
                " Check its name, or use a token of someone who may read it."
            )
        return (
            f"{self.repo} does not exist on {self.endpoint}, or it is private: the hub does not tell which to someone"
            f" who is not logged in. Check its name; if it is private, {LOG_IN}."
        )

    def _unreachable(self, error: Exception) -> str:
        offline_note = "With HF_HUB_OFFLINE=1, what is already in the cache is used."
        if isinstance(error, IncompleteAnswerError):
            what = f"breaks off its answers about {self.repo} ({error})"
        elif "Timeout" in type(error).__name__:
            what = f"stalls: nothing came for {self.patience.stall_timeout:g} seconds (HF_HUB_DOWNLOAD_TIMEOUT)"
        else:
            what = f"does not answer when asked for {self.repo} ({str(error) or type(error).__name__})"
        return (
            f"The hub at {self.endpoint} {what}, after {self.patience.most_tries(error)} tries. Check the network and"
            f" HF_ENDPOINT, and run again: what was downloaded is kept. {offline_note}"
        )
