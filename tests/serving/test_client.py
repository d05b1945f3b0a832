from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from crossrec.errors import (
    AuthError,
    RequestError,
    ServiceError,
    UnknownDomainError,
    UnknownItemError,
)
from crossrec.serving.client import Client
from crossrec.serving.messages import ErrorBody, FeedbackEvent, FeedbackResponse, RejectedEvent

CARD = '{"item_id": "a/b c", "title": "T", "text": "", "category": [], "columns": {}}'


def error(kind: str, status: int) -> tuple[int, str]:
    return status, ErrorBody(error=f"said {status}", kind=kind).model_dump_json()


PARTLY = FeedbackResponse(
    accepted=1, duplicates=0, rejected=[RejectedEvent(event_id="2", reason="no such item")]
)
ANSWERS = {
    "/v1/domains/films/items/a%2Fb%20c": (200, CARD),
    "/v1/domains/nope/card": error("UnknownDomainError", 404),
    "/v1/domains/films/items/x": error("UnknownItemError", 404),
    "/v1/domains/films/recommendations": error("RequestError", 422),
    "/v1/domains/locked/card": error("AuthError", 403),
    "/v1/domains/broken/card": error("ServiceError", 500),
    "/v1/domains/odd/card": error("os", 500),
    "/v1/domains/busy/card": (429, "Request dropped due to backpressure"),
    "/v1/domains/foreign/card": (200, "<html>"),
    "/v1/domains/films/feedback": (422, PARTLY.model_dump_json()),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = ANSWERS[self.path]
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with Client(f"http://127.0.0.1:{server.server_port}/") as found:
        yield found
    server.shutdown()
    thread.join()
    server.server_close()


def test_ids_of_any_characters_reach_the_service(client: Client):
    assert client.item("films", "a/b c").item_id == "a/b c"


@pytest.mark.parametrize(
    ("ask", "kind", "message"),
    [
        (lambda c: c.card("nope"), UnknownDomainError, "said 404"),
        (lambda c: c.item("films", "x"), UnknownItemError, "said 404"),
        (lambda c: c.recommend("films", k=3), RequestError, "said 422"),
        (lambda c: c.card("locked"), AuthError, "said 403"),
        (lambda c: c.card("broken"), ServiceError, "said 500"),
        (lambda c: c.card("odd"), ServiceError, "said 500"),
        (lambda c: c.card("busy"), ServiceError, "too much to do"),
        (lambda c: c.card("foreign"), ServiceError, "is it a crossrec service"),
    ],
)
def test_an_error_comes_back_in_the_class_the_service_raised(client, ask, kind, message):
    with pytest.raises(kind, match=message):
        ask(client)


def test_a_batch_stored_in_part_is_an_answer(client: Client):
    event = FeedbackEvent(event_id="1", user_id="u", item_id="i", event="like")
    assert client.feedback("films", [event]) == PARTLY


def test_fields_that_no_request_can_have_never_leave(client: Client):
    with pytest.raises(RequestError, match="k: Input should be greater"):
        client.recommend("films", k=0)
    with pytest.raises(RequestError, match="usr_id: Extra inputs"):
        client.recommend("films", usr_id="1")
    with pytest.raises(RequestError, match="events: List should have at least 1"):
        client.feedback("films", [])


def test_a_service_that_is_down_is_one_sentence():
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServiceError) as err:
        client.health()
    assert str(err.value).startswith("no crossrec service answers at http://127.0.0.1:9;")
    assert err.value.status is None


class Dying(Handler):
    """A service whose process dies under the second request, and that comes back a little later."""

    n_asked = 0
    n_health = 0
    how = "reset"

    def do_GET(self) -> None:
        kind = type(self)
        if self.path == "/v1/domains/films/health":
            kind.n_health += 1
            self._say(200 if kind.n_health > 2 else 503, "{}")
            return
        kind.n_asked += 1
        if kind.n_asked != 2:
            self._say(200, CARD)
        elif kind.how == "reset":
            self.close_connection = True
        else:
            self._say(500, "Internal Server Error")

    def _say(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.mark.parametrize("how", ["reset", "proxy"])
def test_a_request_that_a_dying_process_cut_off_is_sent_once_more(how: str):
    handler = type("Once", (Dying,), {"how": how, "n_asked": 0, "n_health": 0})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Client(f"http://127.0.0.1:{server.server_port}") as client:
            for _ in range(3):
                assert client.item("films", "a").title == "T"
        server.shutdown()
    assert (handler.n_asked, handler.n_health) == (4, 3)


def test_without_patience_a_request_is_sent_once():
    handler = type("Never", (Dying,), {"n_asked": 0, "n_health": 0})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Client(f"http://127.0.0.1:{server.server_port}", patience_s=0) as client:
            client.item("films", "a")
            with pytest.raises(ServiceError, match="ended the connection before it answered"):
                client.item("films", "a")
        server.shutdown()
    assert (handler.n_asked, handler.n_health) == (2, 0)


class Impatient(Handler):
    """A proxy that closes a connection it kept when a second request comes over it."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.answered = False

    def do_GET(self) -> None:
        self._say(CARD)

    def do_PUT(self) -> None:
        self._say('{"change_id": "1", "domain": "films", "what": "deploy", "state": "done"}')

    def _say(self, body: str) -> None:
        if self.answered:
            self.close_connection = True
            return
        self.answered = True
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


def test_a_change_does_not_ride_on_a_connection_that_may_be_closed_under_it():
    with ThreadingHTTPServer(("127.0.0.1", 0), Impatient) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Client(f"http://127.0.0.1:{server.server_port}") as client:
            client.item("films", "a")
            assert client.operations.deploy("films").state == "done"
        server.shutdown()
