"""Sources of market data as real HTTP servers on loopback, each honest, lying, slow or down."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Source:
    """Answers paths (without their query) from `replies`; `status` or `delay_s` make it misbehave."""

    replies: dict[str, Any]
    status: int = 200
    delay_s: float = 0.0
    raw: bytes | None = None
    drip: bool = False
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(source: Source) -> Iterator[Source]:
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(source.replies.get(self.path.split("?")[0]))

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
            reply = source.replies["rpc"]
            self.answer([reply(one) for one in sent] if isinstance(sent, list) else reply(sent))

        def answer(self, reply: Any) -> None:
            source.asked.append(self.path)
            source.headers.append({name.lower(): value for name, value in self.headers.items()})
            stop.wait(source.delay_s)
            body = json.dumps(reply).encode() if source.raw is None else source.raw
            self.send_response(source.status if reply is not None else 404)
            if source.status in {301, 302}:
                self.send_header("location", "https://elsewhere.example.com/")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            try:
                for part in [bytes([byte]) for byte in body] if source.drip else [body]:
                    self.wfile.write(part)
                    if source.drip and stop.wait(0.2):
                        return
            except OSError:  # whoever asked has gone
                return

        def log_message(self, *_arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        source.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield source
        finally:
            stop.set()
            server.shutdown()
            thread.join()


def coinbase(price: str) -> Source:
    return Source(
        {"/products/BTC-USD/stats": {"open": "1", "high": "1", "low": "1", "last": price, "volume": "1000.5"}}
    )


def kraken(price: str) -> Source:
    pair = {"c": [price, "0.1"], "v": ["10", "2000"], "p": [price, price]}
    return Source({"/0/public/Ticker": {"error": [], "result": {"XXBTZUSD": pair}}})


def bitstamp(price: str) -> Source:
    return Source({"/api/v2/ticker/btcusd/": {"last": price, "volume": "500", "vwap": price, "timestamp": "1"}})


def gemini(price: str) -> Source:
    return Source({"/v1/pubticker/btcusd": {"last": price, "volume": {"BTC": "10", "USD": "900000", "timestamp": 1}}})


def binance(price: str) -> Source:
    return Source({"/api/v3/ticker/24hr": {"symbol": "BTCUSDT", "lastPrice": price, "quoteVolume": "7000000"}})


def mempool(difficulty: float = 1e14, height: int = 850_000) -> Source:
    return Source(
        {
            "/api/v1/mining/hashrate/3d": {"hashrates": [], "currentHashrate": 7e20, "currentDifficulty": difficulty},
            "/api/v1/mining/reward-stats/144": {
                "startBlock": height - 143,
                "endBlock": height,
                "totalReward": "46000000000",
                "totalFee": "1440000000",
            },
            "/api/v1/difficulty-adjustment": {
                "difficultyChange": 2.5,
                "estimatedRetargetDate": 1_900_000_000_000,
                "remainingBlocks": 720,
            },
        }
    )


def blockchain(difficulty: float = 1e14, height: int = 850_000) -> Source:
    stats = {"difficulty": difficulty, "n_blocks_total": height, "total_fees_btc": 1_000_000_000, "n_blocks_mined": 100}
    return Source({"/stats": stats})


def node(difficulty: float = 1e14, height: int = 850_000, began_s: int | None = None) -> Source:
    """A Bitcoin Core node whose blocks since the retarget came at nine minutes each, unless told when that began."""

    def rpc(call: dict[str, Any]) -> dict[str, Any]:
        first = height // 2016 * 2016
        results = {
            "getblockchaininfo": {"blocks": height, "difficulty": difficulty, "initialblockdownload": False},
            "getblockhash": f"hash of {call['params'][0] if call['params'] else ''}",
            "getblockheader": {"time": began_s or int(time.time()) - (height - first) * 540},
            "getblockstats": {"totalfee": 5_000_000},
        }
        return {"result": results[call["method"]], "error": None, "id": call["id"]}

    return Source({"rpc": rpc, "/": {}})


def nobody() -> str:
    """The URL of a port at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
