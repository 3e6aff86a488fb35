"""A client that was written from docs/protocol.md alone, in shell, gets along with a real daemon.

What fails here is the script, the page or the daemon: the page is only right as long as all three agree.
"""

from __future__ import annotations

import base64
import random
import re
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.tree import ROOT

SCRIPT = ROOT / "contrib" / "examples" / "secret-client.sh"
TOOLS = ("socat", "awk", "sed", "tr", "base64", "find")
"""What the script starts, as far as a secret comes near it."""
NOBODY = "00000000-0000-4000-8000-000000000000"

MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"the shell client needs {', '.join(MISSING)}")

VALUES = [
    pytest.param(b"\0", id="one-byte-a-NUL"),
    pytest.param(b"\n", id="one-byte-a-newline"),
    pytest.param(b"open sesame\n\n", id="text-with-newlines-at-the-end"),
    pytest.param(bytes(range(256)), id="all-byte-values"),
    pytest.param(bytes(65_536), id="the-most-bytes-all-NUL"),
    pytest.param(random.Random(7).randbytes(65_536), id="the-most-bytes"),
    pytest.param(random.Random(8).randbytes(65_535), id="one-byte-less"),
]

USAGES = [
    pytest.param("volume", "volume", "/srv/images/data.img", id="volume"),
    pytest.param("ceph", "name", "client.libvirt secret", id="ceph"),
    pytest.param("iscsi", "target", "iqn.2001-04.com.example:disk", id="iscsi"),
    pytest.param("tls", "name", 'tls\'s "own" <&> key é', id="tls-with-markup"),
    pytest.param("vtpm", "name", " white  space ", id="vtpm-with-white-space"),
]


class ShellClient:
    """The script, on one daemon's socket."""

    def __init__(self, daemon: RunningDaemon, shell: Sequence[str] = ()) -> None:
        self.environment = daemon.environment
        self.command = [*shell, str(SCRIPT), "-c", str(daemon.socket)]

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.command, *arguments],
            input=stdin,
            env=self.environment,
            capture_output=True,
            check=False,
            timeout=DEADLINE_S,
        )

    def do(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run what must succeed, without a word on standard error; gives its output."""
        done = self.run(*arguments, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    def allocate(self) -> str:
        return self.do("allocate").decode().strip()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path_factory.mktemp("daemon")) as running:
        yield running


@pytest.fixture
def client(daemon: RunningDaemon) -> ShellClient:
    return ShellClient(daemon)


@pytest.fixture
def secret(client: ShellClient) -> Iterator[str]:
    allocated = client.allocate()
    yield allocated
    client.run("delete", allocated)


def write_document(path: Path, inside: str, before: str = "") -> str:
    path.write_text(f"{before}<secret ephemeral='no' private='no'>{inside}</secret>\n")
    return str(path)


def test_seven_operations(client: ShellClient, tmp_path: Path) -> None:
    secret = client.allocate()
    inside = "<description>a\nb &amp; c</description><usage type='ceph'><name>seven</name></usage>"
    document = write_document(tmp_path / "document.xml", inside, "<?xml version='1.0'?>\n")
    assert client.do("set-xml", secret, document) == b""
    expected = f"<secret ephemeral='no' private='no'><uuid>{secret}</uuid>{inside}</secret>\n"
    assert client.do("get-xml", secret).decode() == expected
    assert client.do("set-value", secret, stdin=b"open sesame") == b""
    assert client.do("get-value", secret) == b"open sesame"
    assert secret in client.do("list").decode().splitlines()
    assert client.do("lookup", "ceph", "seven").decode() == f"{secret}\n"
    assert client.do("delete", secret) == b""
    assert secret not in client.do("list").decode().splitlines()


@pytest.mark.parametrize("value", VALUES)
def test_value_is_byte_exact(client: ShellClient, secret: str, value: bytes) -> None:
    client.do("set-value", secret, stdin=value)
    assert client.do("get-value", secret) == value


@pytest.mark.parametrize("shell", [["sh"], ["bash", "--posix"]], ids=lambda shell: shell[0])
def test_shell_does_not_matter(daemon: RunningDaemon, secret: str, shell: list[str]) -> None:
    client = ShellClient(daemon, shell)
    client.do("set-value", secret, stdin=bytes(range(256)))
    assert client.do("get-value", secret) == bytes(range(256))


@pytest.mark.parametrize(("usage_type", "element", "usage_id"), USAGES)
def test_lookup(client: ShellClient, secret: str, tmp_path: Path, usage_type: str, element: str, usage_id: str) -> None:
    usage = f"<usage type='{usage_type}'><{element}>{escape(usage_id)}</{element}></usage>"
    client.do("set-xml", secret, write_document(tmp_path / "document.xml", usage))
    assert client.do("lookup", usage_type, usage_id).decode() == f"{secret}\n"


def spy_on_tools(directory: Path, log: Path) -> None:
    """Make stand-ins of the tools, which note their arguments and environment before they become the tools."""
    directory.mkdir()
    for tool in TOOLS:
        stand_in = directory / tool
        stand_in.write_text(
            f"#!/bin/sh\n{{ echo '{tool}' \"$@\"; env; }} >>'{log}'\nexec {shutil.which(tool)} \"$@\"\n"
        )
        stand_in.chmod(0o755)


@pytest.fixture
def notes(client: ShellClient, tmp_path: Path) -> Path:
    """Give the file in which each tool that the client starts leaves its arguments and environment."""
    log = tmp_path / "notes"
    spy_on_tools(tmp_path / "spies", log)
    client.environment = {**client.environment, "PATH": f"{tmp_path / 'spies'}:{client.environment['PATH']}"}
    return log


def test_value_is_in_no_argument_environment_or_trace(client: ShellClient, secret: str, notes: Path) -> None:
    value = b"open sesame, but do not tell"
    client.command[:0] = ["sh", "-ax"]  # each variable of the script is exported, each of its commands shown
    stored = client.run("set-value", secret, stdin=value)
    read = client.run("get-value", secret)
    assert read.stdout == value
    seen = notes.read_bytes() + stored.stderr + read.stderr
    assert {line.split()[0] for line in notes.read_text().splitlines() if line.startswith(TOOLS)} >= {"socat", "base64"}
    assert secret.encode() in read.stderr
    assert value not in seen
    assert base64.b64encode(value)[:16] not in seen


def converse(path: Path, messages: Sequence[str]) -> list[str]:
    """Send all messages on one connection, with no regard for the replies; gives these."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE_S)
        connection.connect(str(path))
        sent = "".join(f"{message}\0" for message in messages).encode()
        sender = threading.Thread(target=connection.sendall, args=(sent,))
        sender.start()
        replies = b""
        while replies.count(b"\0") < len(messages):
            received = connection.recv(65_536)
            assert received, "the daemon ended the connection"
            replies += received
        sender.join()
    return replies.decode().split("\0")[:-1]


def test_list_of_many_pages(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path / "daemon") as daemon:
        client = ShellClient(daemon)
        assert client.do("list") == b""
        made = converse(daemon.socket, ["<request serial='1'><allocate-id/></request>"] * 1_005)
        assert all("<allocate-id " in reply for reply in made)
        spy_on_tools(tmp_path / "spies", tmp_path / "notes")
        client.environment = {**client.environment, "PATH": f"{tmp_path / 'spies'}:{client.environment['PATH']}"}
        listed = client.do("list").decode().splitlines()
        connections = (tmp_path / "notes").read_text().splitlines()
    assert len(listed) == 1_005
    assert listed == sorted(set(listed))
    assert sum(line.startswith("socat ") for line in connections) > 1


def test_events_of_a_while(client: ShellClient, daemon: RunningDaemon, tmp_path: Path) -> None:
    told = tmp_path / "told"
    # To a file: it may say more than a pipe holds before anybody reads it.
    with (
        told.open("wb") as output,
        subprocess.Popen([*client.command, "events", "1"], env=client.environment, stdout=output) as waiting,
    ):
        # Nobody outside knows when it has subscribed, so something happens all the time.
        while waiting.poll() is None:
            change = f"<set-value secret='{NOBODY}' ephemeral='yes'><value>YQ==</value></set-value>"
            converse(daemon.socket, [f"<request serial='1'>{change}</request>"])
            converse(daemon.socket, [f"<request serial='1'><delete secret='{NOBODY}'/></request>"])
    assert waiting.returncode == 0
    assert set(told.read_text().splitlines()) == {f"defined {NOBODY}", f"deleted {NOBODY}"}


def check_refused(done: subprocess.CompletedProcess[bytes], code: str) -> None:
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.decode().startswith(f"secret-client: {code}: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["get-xml", NOBODY], "no-secret", id="get-xml-of-an-unknown-id"),
        pytest.param(["get-value", NOBODY], "no-secret", id="get-value-of-an-unknown-id"),
        pytest.param(["delete", NOBODY], "no-secret", id="delete-an-unknown-id"),
        pytest.param(["lookup", "ceph", "nobody's"], "no-secret", id="lookup-an-unknown-usage"),
        pytest.param(["lookup", "tea", "cup"], "invalid-document", id="lookup-an-unknown-type"),
        pytest.param(["get-xml", "'/><whoami x='"], "invalid-document", id="an-id-that-is-markup"),
        pytest.param(["set-value", NOBODY], "invalid-value", id="an-empty-value"),
    ],
)
def test_error_has_libvirt_code(client: ShellClient, arguments: list[str], code: str) -> None:
    check_refused(client.run(*arguments), code)


def test_secret_without_value(client: ShellClient, secret: str) -> None:
    check_refused(client.run("get-value", secret), "no-value")


@pytest.mark.parametrize("size", [65_537, 190_000, 2_000_000])
def test_value_that_is_too_long(client: ShellClient, secret: str, size: int) -> None:
    client.do("set-value", secret, stdin=b"before")
    done = client.run("set-value", secret, stdin=bytes(size))
    assert done.returncode == 1
    assert b"secret-client: " in done.stderr
    assert client.do("get-value", secret) == b"before"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        pytest.param(b"hello?", "invalid-document", id="no-xml"),
        pytest.param(b"<secret>", "invalid-xml", id="not-well-formed"),
        pytest.param(b"<secret><colour>red</colour></secret>", "invalid-document", id="an-element-that-is-not-there"),
        pytest.param(b"<!DOCTYPE secret><secret/>", "invalid-xml", id="document-type"),
        pytest.param(b"<secret><description>\xff</description></secret>", "invalid-xml", id="not-UTF-8"),
        pytest.param(f"<secret><uuid>{NOBODY}</uuid></secret>".encode(), "invalid-request", id="another-id"),
        pytest.param(
            b"<secret><description>first</description></secret></set-xml></request>\0<request serial='1'><status/>",
            "invalid-xml",
            id="two-messages",
        ),
    ],
)
def test_bad_document(client: ShellClient, secret: str, tmp_path: Path, document: bytes, code: str) -> None:
    before = client.do("get-xml", secret)
    (tmp_path / "document.xml").write_bytes(document)
    check_refused(client.run("set-xml", secret, str(tmp_path / "document.xml")), code)
    assert client.do("get-xml", secret) == before


def test_usage_that_another_secret_has(client: ShellClient, secret: str, tmp_path: Path) -> None:
    document = write_document(tmp_path / "document.xml", "<usage type='tls'><name>taken</name></usage>")
    client.do("set-xml", secret, document)
    other = client.allocate()
    check_refused(client.run("set-xml", other, document), "conflict")
    assert client.do("lookup", "tls", "taken").decode() == f"{secret}\n"


def test_nobody_listens(client: ShellClient, tmp_path: Path) -> None:
    client.command[-1] = str(tmp_path / "nothing")
    done = client.run("list")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no daemon listens" in done.stderr


@pytest.mark.parametrize("reply", [b"", b"<reply serial='1'><get-value><value>b3Bl"], ids=["none", "half"])
def test_reply_that_is_not_whole(client: ShellClient, tmp_path: Path, reply: bytes) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            while not connection.recv(4_096).endswith(b"\0"):
                pass
            connection.sendall(reply)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        listener.settimeout(DEADLINE_S)
        server = threading.Thread(target=answer)
        server.start()
        client.command[-1] = str(tmp_path / "socket")
        done = client.run("get-value", NOBODY)
        server.join()
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"secret-client: no reply\n")


SPELLING = re.compile(
    r"(<[a-z-]+( [a-z-]+='([^<>&'\"]|&(lt|gt|amp|apos|quot|#[0-9]+);)*')*/?>|</[a-z-]+>"
    r"|([^<>&'\"]|&(lt|gt|amp|apos|quot|#[0-9]+);)+)*"
)
"""How the page says that the daemon writes, for those who read it without an XML parser."""

TEXT = "it's &lt;![CDATA[ &amp;amp; ]]&gt; &lt;error &#13;\n\t &quot; end "


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        pytest.param("<status/>", "<status ", id="status"),
        pytest.param("<whoami></whoami>", "<whoami ", id="whoami"),
        pytest.param(' <!-- x --> <list limit="3" />', "<entry ", id="list"),
        pytest.param("<get-xml secret='{secret}'/>", "<description>it&apos;s &lt;![CDATA[ &amp;amp; ", id="get-xml"),
        pytest.param("<get-value secret='{secret}'/>", "<value>AA==</value>", id="get-value"),
        pytest.param("<delete secret='" + NOBODY + "'/>", "<error code='no-secret'>", id="error"),
        pytest.param("<delete/>", "&lt;delete&gt;", id="error-with-markup"),
        pytest.param("<define><secret/></define>", "<define secret='", id="define"),
        pytest.param(
            "<lookup-by-usage><usage type='vtpm'><name>" + TEXT + "</name></usage></lookup-by-usage>",
            "<lookup-by-usage secret='{secret}'",
            id="lookup-by-usage",
        ),
        pytest.param("<lookup-by-id secret='{secret}'/>", "<lookup-by-id secret='{secret}' digest='", id="by-id"),
        pytest.param("<count private='yes'/>", "<count secrets='0'/>", id="count"),
    ],
)
def test_replies_are_spelt_as_the_page_says(
    daemon: RunningDaemon, client: ShellClient, secret: str, tmp_path: Path, operation: str, expected: str
) -> None:
    inside = f"<description>{TEXT}</description><usage type='vtpm'><name>{TEXT}</name></usage>"
    client.do("set-xml", secret, write_document(tmp_path / "document.xml", inside))
    client.do("set-value", secret, stdin=b"\0")
    (reply,) = converse(daemon.socket, [f"<request serial='5'>{operation.format(secret=secret)}</request>"])
    assert expected.format(secret=secret) in reply
    assert reply.startswith("<reply serial='5'><")
    assert SPELLING.fullmatch(reply)
    assert ("<error " in reply) == (expected in {"<error code='no-secret'>", "&lt;delete&gt;"})


@pytest.mark.parametrize("operation", ["set-xml", "set-value"])
def test_new_id_is_allocated(client: ShellClient, tmp_path: Path, operation: str) -> None:
    new = str(uuid.uuid4())
    arguments = [write_document(tmp_path / "document.xml", "")] if operation == "set-xml" else []
    client.do(operation, new, *arguments, stdin=b"open sesame")
    assert new in client.do("get-xml", new).decode()
