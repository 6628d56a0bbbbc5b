"""Parts of the service by themselves: secrets, sessions, private files, job records, segments."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support.service import client_module
from wetgate.model.errors import BadRequest, NoSuchJob, NotAllowed, ServiceError
from wetgate.service.discovery import (
    Discovery,
    Home,
    OnlyOne,
    new_token,
    private_directory,
    read_discovery,
    user_name,
)
from wetgate.service.jobs import JobStore
from wetgate.service.preview import Segments
from wetgate.service.security import PageSessions, require_bearer, server_proof

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes of files are POSIX")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    found.prepare()
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def hmac_by_definition(key: bytes, message: bytes) -> str:
    """RFC 2104: H(K xor opad, H(K xor ipad, message)), block size 64."""
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(k ^ 0x36 for k in key) + message).digest()
    return hashlib.sha256(bytes(k ^ 0x5C for k in key) + inner).hexdigest()


class TestSecrets:
    def test_the_proof_is_the_hmac_of_the_nonce(self) -> None:
        token, nonce = new_token(), "0123456789abcdef" * 2
        assert server_proof(token, nonce) == hmac_by_definition(
            token.encode(), b"wetgate-server:" + nonce.encode()
        )

    @pytest.mark.parametrize("nonce", ["", "ab", "0" * 15, "0" * 129, "A" * 16, "0" * 15 + "\n"])
    def test_a_nonce_is_short_hex(self, nonce: str) -> None:
        with pytest.raises(BadRequest):
            server_proof("00", nonce)

    def test_tokens_are_256_bits_and_never_the_same(self) -> None:
        tokens = {new_token() for _ in range(100)}
        assert len(tokens) == 100 and all(len(bytes.fromhex(t)) == 32 for t in tokens)

    @pytest.mark.parametrize(
        "given", ["", "Bearer", "Bearer ", "Basic TOKEN", "Bearer TOKEN0", "TOKEN", "Bearer \xe9"]
    )
    def test_every_other_token_is_refused(self, given: str) -> None:
        with pytest.raises(NotAllowed, match="token"):
            require_bearer({"authorization": given.replace("TOKEN", "f" * 63)}, "f" * 64)
        require_bearer({"authorization": "bearer " + "f" * 64}, "f" * 64)


class TestSessions:
    def test_a_one_time_token_opens_once(self) -> None:
        sessions = PageSessions()
        once = sessions.issue_once()
        cookie = sessions.redeem(once)
        secret = sessions.check(cookie)
        sessions.check_change(cookie, secret)
        for wrong in (once, "", cookie):
            with pytest.raises(NotAllowed):
                sessions.redeem(wrong)
        for wrong in (None, "", once, secret):
            with pytest.raises(NotAllowed):
                sessions.check(wrong)
        for wrong in (None, "", cookie, secret + "x"):
            with pytest.raises(NotAllowed):
                sessions.check_change(cookie, wrong)

    def test_both_grow_old(self) -> None:
        now = [0.0]
        sessions = PageSessions(clock=lambda: now[0])
        late, once = sessions.issue_once(), sessions.issue_once()
        cookie = sessions.redeem(once)
        now[0] = 121
        with pytest.raises(NotAllowed):
            sessions.redeem(late)
        sessions.check(cookie)
        now[0] = 13 * 3600
        with pytest.raises(NotAllowed):
            sessions.check(cookie)


@POSIX
class TestPrivateFiles:
    def test_directories_are_made_and_kept_private(self, home: Home) -> None:
        for path in (home.root, home.root / "run", home.jobs, home.preview):
            assert mode(path) == 0o700
        os.chmod(home.root, 0o777)
        home.prepare()
        assert mode(home.root) == 0o700

    def test_a_link_or_a_file_in_the_place_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path)
        (tmp_path / "file").write_text("")
        for name in ("link", "file"):
            with pytest.raises(ServiceError, match="not a directory"):
                private_directory(tmp_path / name)

    @pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="needs root")
    def test_the_directory_of_another_user_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "theirs").mkdir()
        os.chown(tmp_path / "theirs", 65534, 65534)
        with pytest.raises(ServiceError, match="belongs to user 65534"):
            private_directory(tmp_path / "theirs")

    def test_the_discovery_file_is_private_from_its_first_byte(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[int] = []
        plain_open = os.open

        def spy(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            file = plain_open(path, flags, *args, **kwargs)
            if flags & os.O_CREAT:
                seen.append(stat.S_IMODE(os.fstat(file).st_mode))
            return file

        monkeypatch.setattr(os, "open", spy)
        told = Discovery(
            pid=1, started=2.0, socket=None, port=3, token="t", version="v", executable="e"
        )
        told.write(home.discovery)
        assert seen == [0o600] and mode(home.discovery) == 0o600
        assert read_discovery(home.discovery) == told
        assert json.loads(home.discovery.read_text())["schema"] == "wetgate.service/1"

    def test_a_damaged_discovery_file_is_none(self, home: Home) -> None:
        for text in ("", "{", "[]", "{}", '{"schema": "wetgate.service/2"}'):
            home.discovery.write_text(text)
            assert read_discovery(home.discovery) is None

    def test_client_and_service_name_the_user_alike(self) -> None:
        assert client_module.user_name() == user_name()

    def test_there_is_one_service_of_a_home(self, home: Home) -> None:
        first = OnlyOne(home)
        with pytest.raises(ServiceError, match="runs already"):
            OnlyOne(home)
        first.release()
        OnlyOne(home).release()

    def test_a_long_home_still_has_a_socket_with_a_short_name(self, tmp_path: Path) -> None:
        path = Home(tmp_path / ("x" * 120)).socket_path()
        assert len(os.fsencode(path)) <= 100 and mode(path.parent) == 0o700
        path.parent.rmdir()


class TestJobStore:
    def test_what_a_dead_service_left_unfinished_is_interrupted(self, home: Home) -> None:
        store = JobStore(home.jobs)
        states = ("queued", "running", "cancelling", "cancelled", "done", "failed")
        made = {}
        for state in states:
            job = store.add(label=state, options={}, client="", directory="")
            job.enter(state)  # type: ignore[arg-type]
            made[job.record.id] = state
        again = JobStore(home.jobs)
        found = {made[job.record.id]: job.record.state for job in again}
        unfinished = ("queued", "running", "cancelling")
        assert found == {s: "interrupted" if s in unfinished else s for s in states}
        assert [j.count for j in again] == [
            2 if made[j.record.id] in unfinished else 1 for j in again
        ]

    def test_the_oldest_of_very_many_are_forgotten(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = JobStore(home.jobs)
        made = [store.add(label=str(i), options={}, client="", directory="") for i in range(6)]
        for job in made:
            job.enter("queued" if job is made[0] else "done")
        monkeypatch.setattr("wetgate.service.jobs._MOST_KEPT", 4)
        kept = {job.record.label for job in JobStore(home.jobs)}
        assert kept == {"0", "3", "4", "5"}
        assert len(list(home.jobs.iterdir())) == 4

    def test_damaged_records_and_strangers_are_left_out(self, home: Home) -> None:
        store = JobStore(home.jobs)
        job = store.add(label="", options={}, client="", directory="")
        job.enter("done")

        def document(number: int, **wrong: object) -> str:
            facts = asdict(job.record)
            return json.dumps({**facts, "id": f"20260101-000000-{number:08}", **wrong})

        for name, text in (
            ("20260101-000000-00000000", "{"),
            ("20260101-000000-00000001", "[]"),
            ("20260101-000000-00000002", '{"id": "20260101-000000-00000002"}'),
            ("20260101-000000-00000003", json.dumps({"id": job.record.id})),
            ("20260101-000000-00000004", document(4, created="yesterday")),
            ("20260101-000000-00000005", document(5, created=None)),
            ("20260101-000000-00000006", document(6, state=["done"])),
            ("20260101-000000-00000007", document(7, argv="rm")),
            ("20260101-000000-00000008", "[" * 100_000),
            ("notes", "{}"),
        ):
            (home.jobs / name).mkdir()
            (home.jobs / name / "job.json").write_text(text)
        assert list(JobStore(home.jobs).jobs) == [job.record.id]

    def test_a_job_is_found_by_its_exact_name_only(self, home: Home) -> None:
        store = JobStore(home.jobs)
        job = store.add(label="", options={}, client="", directory="")
        for name in ("", "..", "../x", job.record.id + "/", job.record.id.upper() + "x"):
            with pytest.raises(NoSuchJob):
                store.get(name)
        store.forget(job)
        assert not job.folder.exists()

    def test_followers_get_every_event_once_and_skip_a_torn_line(self, home: Home) -> None:
        async def follow() -> list[dict[str, Any]]:
            store = JobStore(home.jobs)
            job = store.add(label="", options={}, client="", directory="")
            job.tell("first", {"a": 1})
            with open(job.events_path, "a") as file:
                file.write('{"n": 99, "torn\n')

            async def work() -> None:
                for index in range(2500):
                    job.tell("step", {"i": index})
                    if index % 500 == 0:
                        await asyncio.sleep(0)
                job.enter("done")

            task = asyncio.ensure_future(work())
            found = [json.loads(line) async for line in job.follow(1, asyncio.Event())]
            await task
            return found

        found = asyncio.run(follow())
        told = [e for e in found if e["event"] != "heartbeat"]
        assert [e["n"] for e in told] == list(range(2, 2503))
        assert told[-1]["state"] == "done"


class TestSegments:
    def make(self, segments: Segments, owner: int | None, name: str = "a") -> Path:
        path = segments.directory / name
        path.write_bytes(b"x")
        segments.add({"file": str(path), "nbytes": 1, "generation": 1}, owner)
        return path

    def test_the_directory_is_private_and_goes_at_the_end(self, home: Home) -> None:
        segments = Segments(home)
        assert mode(segments.directory) == 0o700
        path = self.make(segments, os.getpid())
        segments.close()
        assert not path.exists() and not segments.directory.exists()

    def test_a_dead_owner_s_files_go_and_a_living_one_s_stay(self, home: Home) -> None:
        segments = Segments(home)
        owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        theirs = self.make(segments, owner.pid, "theirs")
        ours = self.make(segments, os.getpid(), "ours")
        segments.sweep()
        assert theirs.exists() and ours.exists()
        owner.kill()  # not waited for: a zombie looks at nothing either
        until = time.monotonic() + 5
        while theirs.exists() and time.monotonic() < until:
            segments.sweep()
        assert not theirs.exists() and ours.exists()
        owner.communicate()
        segments.close()

    def test_what_is_given_back_is_used_again_or_goes(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        segments = Segments(home)
        path = self.make(segments, os.getpid())
        with pytest.raises(NoSuchJob):
            segments.release(str(path) + "x")
        segments.release(str(path))
        with segments.spares() as spares:
            assert [s.file for s in spares] == [str(path)]
            with segments.spares() as others:
                assert others == []
            segments.add({"file": str(path), "nbytes": 1, "generation": 2}, None)
        assert segments.in_use
        segments.release(str(path))
        monkeypatch.setattr("wetgate.service.preview._SPARE_SECONDS", 0.0)
        segments.sweep()
        assert not path.exists() and not segments.in_use
        segments.close()

    def test_there_are_never_more_than_a_few(self, home: Home) -> None:
        segments = Segments(home)
        for index in range(40):
            self.make(segments, os.getpid(), str(index))
        assert len(list(segments.directory.iterdir())) == 32
        segments.close()

    def test_directories_of_killed_services_are_swept(self, home: Home, tmp_path: Path) -> None:
        child = subprocess.Popen([sys.executable, "-c", ""])
        child.wait()
        segments = Segments(home)
        place, name = segments.directory.parent, segments.directory.name
        left = place / name.replace(f"-{os.getpid()}-", f"-{child.pid}-")
        reused = place / f"wetgate-{name.split(chr(45))[1]}-{os.getpid()}-0-ff"
        for path in (left, reused):
            path.mkdir()
            (path / "wetgate-0").write_bytes(b"x")
        stranger = place / "wetgate-plans"
        stranger.mkdir(exist_ok=True)
        other = Segments(home)
        assert not left.exists() and not reused.exists()
        assert segments.directory.exists() and stranger.exists()
        stranger.rmdir()
        segments.close()
        other.close()
