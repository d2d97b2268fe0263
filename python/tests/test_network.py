"""A client and a server over TCP, with and without TLS; and what goes wrong between them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import gazelle
import numpy as np
import pytest
from gazelle import _native


def test_conformance_client_and_server_say_what_a_simulation_says(model, x):
    expected = gazelle.simulate(model, x)
    with gazelle.Server(model) as server, gazelle.Client(server.address) as client:
        client.prepare(2)
        assert client.ready == 2
        assert (client.infer(x).logits == expected.logits).all()
        assert client.ready == 0
        assert [answer.class_ for answer in client.stream(x[:2])] == expected.classes[:2]
        assert client.labels == model.labels and len(client.digest) == 64


def test_several_clients_are_served_at_once(model, x):
    expected = gazelle.simulate(model, x[:1]).classes
    with gazelle.Server(model, sessions=3) as server:
        found: list[list[int]] = []

        def one() -> None:
            with gazelle.Client(server.address) as client:
                found.append(client.infer(x[:1]).classes)

        threads = [threading.Thread(target=one) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(600)
        assert found == [expected] * 3


def test_an_input_that_does_not_fit_leaves_the_session_alive(model, x):
    with gazelle.Server(model) as server, gazelle.Client(server.address) as client:
        with pytest.raises(gazelle.InputError):
            client.infer(np.zeros((1, 2, 3), np.float32))
        assert len(client.infer(x[:1])) == 1


def test_models_are_told_apart_by_name_and_pinned_by_digest(path, x):
    one, two = (gazelle.inspect(path, name=name, links=("lan",)) for name in ("one", "two"))
    with gazelle.Server([one, two]) as server:
        with pytest.raises(gazelle.PeerError, match="several"):
            gazelle.Client(server.address)
        with gazelle.Client(server.address, model="two") as client:
            assert client.model == "two"
            digest = client.digest
        gazelle.Client(server.address, model="two", pin=digest).close()
        with pytest.raises(gazelle.PeerError):
            gazelle.Client(server.address, model="one", pin=digest)
    with pytest.raises(gazelle.CallerError):
        gazelle.Client("127.0.0.1:1", pin="abc")


def test_quotas_count_and_are_told(model, x, tmp_path):
    with gazelle.Server(model, max_inferences=1, quota_file=tmp_path / "quota.redb") as server:
        with gazelle.Client(server.address) as client:
            assert client.allowance == 1
            client.infer(x[:1])
            with pytest.raises(gazelle.QuotaError):
                client.infer(x[:1])
        with pytest.raises(gazelle.QuotaError):
            gazelle.Client(server.address)


def test_clients_that_are_not_trusted_get_the_same_answers(model, path, x, tmp_path, run):
    expected = gazelle.simulate(model, x[:2])
    audited = gazelle.inspect(path, audit_rate=0.5, links=("lan",))
    assert (gazelle.simulate(audited, x[:2]).logits == expected.logits).all()
    samples = tmp_path / "x.npy"
    np.save(samples, x[0])
    with gazelle.Server(audited, blocked=tmp_path / "blocked.tsv") as server:
        with gazelle.Client(server.address) as client:
            assert (client.infer(x[:2]).logits == expected.logits).all()
        (told,) = run("infer", "--server", server.address, "--json", samples)
    assert told["logits"] == expected.logits[0].tolist()
    assert not (tmp_path / "blocked.tsv").exists()


def test_a_full_server_is_busy(model):
    with gazelle.Server(model, sessions=1) as server:
        for _ in range(50):
            first = gazelle.Client(server.address)
            try:
                gazelle.Client(server.address, wait=0).close()
            except gazelle.BusyError:
                break
            finally:
                # On a slow machine it has let the server wait for so long that it had to give way.
                with contextlib.suppress(gazelle.LinkError):
                    first.close()
        else:
            pytest.fail("a server of one session served two, fifty times")


def test_adversarial_nobody_and_somebody_else_at_the_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
        with pytest.raises(gazelle.LinkError):
            gazelle.Client(address)
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def talk() -> None:
            link, _ = stranger.accept()
            with link:
                link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 8)
                link.shutdown(socket.SHUT_WR)
                while link.recv(4096):
                    pass

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(gazelle.PeerError):
            gazelle.Client("127.0.0.1:%d" % stranger.getsockname()[1])
        thread.join(600)


def test_open_links_to_others_are_refused_before_anything_moves(model):
    with pytest.raises(gazelle.CallerError, match="open to everybody"):
        gazelle.Client("192.0.2.1:7764")
    with pytest.raises(gazelle.CallerError, match="tls="):
        gazelle.Server(model, listen="0.0.0.0:0")


def test_a_server_that_is_gone_is_a_link_error_and_ends_the_session(model, x):
    server = gazelle.Server(model, patience=0)
    client = gazelle.Client(server.address)
    server.close()
    with pytest.raises(gazelle.Error):
        client.infer(x[:1])
    with pytest.raises(gazelle.CallerError):
        client.infer(x[:1])
    client.close()
    with pytest.raises(gazelle.CallerError, match="closed"):
        client.infer(x[:1])
    assert server.close() == 0


@pytest.fixture
def keys(program, tmp_path):
    """Files of the program's own authority: for a server, and for a client in one file and in three."""

    def gazelle_keys(home, *arguments):
        environment = {**os.environ, "GAZELLE_HOME": str(tmp_path / home)}
        subprocess.run([program, "keys", *arguments], env=environment, check=True, timeout=600, cwd=tmp_path)

    gazelle_keys("vendor", "new-ca", "--name", "vendor")
    gazelle_keys("vendor", "new-server", "localhost")
    gazelle_keys("vendor", "new-client", "alice")
    found = [file for file in tmp_path.rglob("*alice*.pem")]
    assert len(found) == 1, found
    text = found[0].read_text()
    begin = "-----BEGIN CERTIFICATE"
    key, own, ca = text.split(begin)
    parts = {"key.pem": key, "cert.pem": begin + own, "ca.pem": begin + ca}
    for name, part in parts.items():
        (tmp_path / name).write_text(part)
        (tmp_path / name).chmod(0o600)
    client = gazelle.Tls(*(tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")))
    return gazelle.Tls(key=tmp_path / "vendor" / "server.pem"), client, gazelle.Tls(key=found[0])


def test_mutual_tls_by_one_file_or_three(model, x, keys, tmp_path):
    server_keys, apart, together = keys
    expected = gazelle.simulate(model, x[:1]).classes
    with gazelle.Server(model, listen="0.0.0.0:0", tls=server_keys, audit=tmp_path / "audit") as server:
        address = "localhost:" + server.address.rsplit(":", 1)[1]
        for tls in (apart, together):
            with gazelle.Client(address, tls=tls) as client:
                assert client.infer(x[:1]).classes == expected
        with pytest.raises(gazelle.Error):
            gazelle.Client(address)
        with pytest.raises(gazelle.TlsError):
            gazelle.Client(server.address.replace("0.0.0.0", "127.0.0.1"), tls=apart)
    assert "alice" in (tmp_path / "audit").read_text()


def test_no_secret_is_printed(keys, model):
    server_keys, apart, together = keys
    for tls in (server_keys, apart, together):
        assert "key.pem" not in repr(tls) or tls.cert is None
        assert "PRIVATE" not in repr(tls)
    bad = shutil.copy(together.key, str(together.key) + ".open")
    os.chmod(bad, 0o644)
    with pytest.raises(gazelle.CallerError, match="chmod 600"):
        gazelle.Client("localhost:1", tls=gazelle.Tls(key=bad))


def test_a_signal_interrupts_what_waits_and_ends_the_session():
    """In a process of its own: a server that accepts and says nothing, a client that waits, SIGINT."""
    code = textwrap.dedent(
        """
        import os, signal, socket, threading, time
        import gazelle
        silent = socket.create_server(("127.0.0.1", 0))
        def interrupt():
            link, _ = silent.accept()
            link.recv(1)                      # the client has said hello, and waits
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(600)
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            gazelle.Client("127.0.0.1:%d" % silent.getsockname()[1], timeout=500)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            os._exit(0)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0 and done.stdout == "interrupted\n", done.stderr


def test_a_signal_during_an_inference_closes_the_client(model, x):
    """The handler runs while the inference computes on its thread."""
    with gazelle.Server(model, patience=0) as server:
        client = gazelle.Client(server.address)
        main = threading.get_ident()

        def interrupt() -> None:
            signal.pthread_kill(main, signal.SIGINT)

        timer = threading.Timer(0.2, interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            while True:
                client.infer(x)
        timer.join(600)
        # Between two inferences it is raised by Python itself, and the session lives.
        try:
            client.infer(x[:1])
        except gazelle.CallerError as error:
            assert "closed" in str(error)
        client.close()


def test_python_runs_while_the_native_side_computes(model, x):
    """The GIL is released: where no thread has to give way by itself, another one counts only then."""
    client = _native.Client.within(model._native, False)
    (one,) = _native.Inputs(("x", [1, 28, 28], x[0].tobytes()))
    counted = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal counted
        while not stop.wait(0.001):
            counted += 1

    thread = threading.Thread(target=count)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        thread.start()
        # On a loaded machine the other thread may sleep through some of them.
        for _ in range(1000):
            before = counted
            client.infer(one, 1)
            if counted > before:
                break
        else:
            pytest.fail("no other thread ran during 1000 inferences")
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join(600)
    client.close()
