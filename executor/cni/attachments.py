"""Which attachment a wiring belongs to, and of which network: what GC must know, kept beside the state.

STATE-DIR/attachments/ID.json   written before anything is changed for it, removed when nothing is left
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

from executor.cni.call import Attachment, Call
from executor.errors import HostError
from executor.netns.lock import LockFile
from executor.netns.namespace import Namespace
from executor.state.document import AtomicWrite, delete_document, read_document
from executor.state.store import StateStore
from planner.errors import PodwireError
from planner.text.document import Node, load_json
from planner.text.frozen import frozen
from planner.text.values import NetnsPath, PlanId


@contextlib.contextmanager
def held(plan_id: PlanId, seconds: float) -> Iterator[None]:
    """Let nobody else work for an attachment; wait up to ``seconds`` for who does. Raises Locked or HostError.

    The namespace has a lock of its own. This one also covers what is done before and after that is held, so that who
    repeats a call finds all of it as one that ended, or was killed, has left it.
    """
    with LockFile.take(f"attachment-{plan_id}", seconds, f"the attachment {plan_id}"):
        yield


@frozen
class Known:
    """An attachment that something was done for; None where what was written down cannot be read any more."""

    plan_id: PlanId
    attachment: Attachment | None
    network: str | None


class Attachments:
    """The attachments of a state directory."""

    def __init__(self, store: StateStore) -> None:
        self._folder = store.attachments

    def id_of(self, attachment: Attachment) -> PlanId:
        """Return the id of an attachment's wiring: the one it was wired under, or a new one that no other one has."""
        plain, hashed = (self._known(each).attachment for each in (attachment.plain_id, attachment.hashed_id))
        if plain == attachment:
            return attachment.plain_id
        return attachment.plan_id if plain is None and hashed is None else attachment.hashed_id

    def save(self, plan_id: PlanId, call: Call, namespace: Namespace) -> None:
        """Write down that something is about to be done for a call in a namespace. Raises HostError."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HostError(f"{self._folder} cannot be made: {error.strerror}") from None
        document = {
            "containerID": call.attachment.container,
            "ifname": call.attachment.ifname,
            "network": call.conf.network,
            "pod": call.pod,
            "netns": str(namespace.path),
            "cookie": namespace.cookie,
            "inode": namespace.inode,
        }
        path = self._folder / f"{plan_id}.json"
        # A namespace does not outlive the machine, and what is wired in it is known without this.
        with AtomicWrite(path, lambda: json.dumps(document), is_synced=False) as written:
            written.commit()

    def namespace_of(self, plan_id: PlanId) -> tuple[NetnsPath, int, int] | None:
        """Return the path, the cookie and the number of an attachment's namespace, None if that is not known."""
        try:
            document = self._document(plan_id)
            cookie, inode = (document.field(key).integer(0, 2**64 - 1) for key in ("cookie", "inode"))
            return document.field("netns").parse(NetnsPath), cookie, inode
        except (OSError, PodwireError):
            return None

    def forget(self, plan_id: PlanId) -> None:
        """Forget an attachment; one that is not there is forgotten already. Raises HostError."""
        delete_document(self._folder / f"{plan_id}.json")

    def all(self) -> tuple[Known, ...]:
        """Return all that are known, sorted."""
        try:
            names = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return ()
        found = []
        for name in names:
            with contextlib.suppress(ValueError):  # a file that is being written
                if name.endswith(".json"):
                    found.append(self._known(PlanId(name.removesuffix(".json"))))
        return tuple(found)

    def _known(self, plan_id: PlanId) -> Known:
        try:
            document = self._document(plan_id)
            container, ifname, network = (document.field(key).text() for key in ("containerID", "ifname", "network"))
            attachment = Attachment(container, ifname)
            is_its_own = plan_id in (attachment.plain_id, attachment.hashed_id)
        except (PodwireError, ValueError):
            is_its_own = False
        return Known(plan_id, attachment, network) if is_its_own else Known(plan_id, None, None)

    def _document(self, plan_id: PlanId) -> Node:
        what = f"attachment {plan_id}"
        return load_json(read_document(self._folder / f"{plan_id}.json", what) or b"", what)
