"""
`twistd pacs-store`: a server that stores what it is sent, and answers C-ECHO.
"""

from __future__ import annotations

import errno
import os
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from pacs_twisted.acceptor_service import AcceptorService
from pacs_twisted.config import ConfigurationError, ServerSettings, StoreSettings
from pacs_twisted.net import ApplicationEntity
from pacs_twisted.services import Verification
from pacs_twisted.storage.discard import Discard
from pacs_twisted.storage.disk import Disk, DiskPool, InlineDisk
from pacs_twisted.storage.files import FileStore, Leftovers
from pacs_twisted.storage.received import AfterCommit
from pacs_twisted.storage.service import Storage
from pacs_twisted.storage.transfer_syntaxes import prefer
from pacs_twisted.tap.options import ServerOptions, make_acceptor_service

log = Logger(namespace="pacs_twisted.server")


class Options(ServerOptions):
    """The command line of `twistd pacs-store`."""

    settings_class = StoreSettings


class DirectoryResources:
    """
    A directory of objects and those who work on it; a reload leaves both as they are.

    Args:
        settings: which directory, and how the work is done.
        reactor: on whose thread results come.
    """

    def __init__(self, settings: StoreSettings, reactor: Any) -> None:
        self._command = settings.command
        self.store = FileStore(settings.directory, fsync=settings.fsync, existing=settings.existing)
        self.disk: Disk = (
            InlineDisk()
            if settings.disk_mode == "inline"
            else DiskPool(reactor, settings.disk_threads)
        )

    def start(self) -> None:
        """Open the directory, clean it, and start the threads."""
        directory = self.store.directory
        try:
            leftovers = self.store.open()
            if not os.access(directory, os.W_OK | os.X_OK):  # its `.incoming` may be another's
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            self.store.close()
            raise ConfigurationError(
                f"cannot store in {directory}: {error.strerror or type(error).__name__}"
            ) from error
        self.disk.start()
        log.info(
            "{command}: storing in {directory}",
            command=self._command,
            directory=directory,
            event="storing",
        )
        self._log_leftovers(leftovers)

    def _log_leftovers(self, leftovers: Leftovers) -> None:
        if leftovers.removed:
            log.info(
                "{command}: removed {count} unfinished files of servers that died",
                command=self._command,
                count=leftovers.removed,
                event="leftovers",
            )
        if leftovers.errors:
            log.warn(
                "{command}: cannot remove {count} unfinished files of servers that died: {reason}",
                command=self._command,
                count=len(leftovers.errors),
                reason=leftovers.errors[0].strerror,
                event="leftovers",
            )

    async def _stop(self) -> None:
        await self.disk.stop()
        self.store.close()

    def stop(self) -> Deferred[None]:
        """Let what is under way be done, end the threads, and leave the directory."""
        return Deferred.fromCoroutine(self._stop())


class NoResources:
    """What it takes to store nothing."""

    def __init__(self, settings: StoreSettings) -> None:
        self._command = settings.command

    def start(self) -> None:
        """Warn whoever reads the log."""
        log.warn(
            "{command}: nothing is stored (--discard), though the answer is success",
            command=self._command,
            event="discarding",
        )

    def stop(self) -> Deferred[None]:
        """There is nothing to give back."""
        return succeed(None)


def make_store_service(
    options: Options, reactor: Any, after_commit: AfterCommit | None = None
) -> AcceptorService:
    """
    Return the service of `twistd pacs-store`.

    Args:
        options: parsed.
        reactor: where it runs.
        after_commit: told of each stored object.
    """
    settings = cast(StoreSettings, options.settings)
    if settings.discard:
        return make_acceptor_service(options, discard_entity, reactor, NoResources(settings))
    resources = DirectoryResources(settings, reactor)

    def make_entity(new: ServerSettings) -> ApplicationEntity:
        return store_entity(cast(StoreSettings, new), resources.store, resources.disk, after_commit)

    return make_acceptor_service(options, make_entity, reactor, resources)


def store_entity(
    settings: StoreSettings,
    store: FileStore,
    disk: Disk,
    after_commit: AfterCommit | None = None,
) -> ApplicationEntity:
    """Return an application entity that stores, and answers C-ECHO."""
    storage = Storage(
        store,
        disk=disk,
        template=settings.template,
        private_sop_classes=settings.private_sop_class,
        transfer_syntaxes=prefer(settings.prefer_transfer_syntax),
        mismatch=settings.mismatch,
        after_commit=after_commit,
    )
    return ApplicationEntity(title=settings.ae_title, services=[storage, Verification()])


def discard_entity(settings: ServerSettings) -> ApplicationEntity:
    """Return an application entity that stores nothing, and answers C-ECHO."""
    settings = cast(StoreSettings, settings)
    discard = Discard(
        private_sop_classes=settings.private_sop_class,
        transfer_syntaxes=prefer(settings.prefer_transfer_syntax),
    )
    return ApplicationEntity(title=settings.ae_title, services=[discard, Verification()])


def makeService(options: Options) -> AcceptorService:
    """Return the service of `twistd pacs-store`."""
    from twisted.internet import reactor

    return make_store_service(options, reactor)
