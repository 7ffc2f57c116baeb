"""A service that takes part in live upgrades without being made of Landfall's kit.

It keeps notes: PUT, GET and DELETE /notes/ID. A note may have a picture, by the digest under which that was
put before: PUT and GET /pictures/sha256:DIGITS. What an upgrade asks of it is in
doc/protocol.md, and here in the methods of Handler that are named after it.
v1.py and v2.py are two versions of it, which differ in what a note is.
"""

import gzip
import hashlib
import http.server
import json
import os
import re
import sys
import threading
from hmac import compare_digest
from itertools import chain
from urllib.parse import parse_qsl, urlsplit


class Problem(Exception):
    """Why a request is refused, and which document and field that is about."""

    def __init__(self, status, detail, link="", field=""):
        super().__init__(detail)
        self.status, self.link, self.field = status, link, field


def line_of(link, position, body):
    """The line of a document in an export: always the same bytes for the same document."""
    line = {"link": link, "position": str(position), **({"deleted": True} if body is None else {"body": body})}
    return json.dumps({**line, "blobs": [body["picture"]]} if body and "picture" in body else line)


def hash_of(line):
    return hashlib.sha256(line.encode()).hexdigest()[:32]


def bucket_of(link):
    return hashlib.sha256(link.encode()).hexdigest()[:2]


class Sums:
    """What lines add up to: by bucket, how many there are and the sum of their hashes."""

    def __init__(self):
        self.hashes, self.buckets = {}, {}

    def put(self, link, new):
        """Sets the hash of a document's line, or with None that it has none."""
        n, total = self.buckets.get(bucket_of(link), (0, 0))
        for sign, h in (-1, self.hashes.pop(link, None)), (1, new):
            if h is not None:
                n, total = n + sign, (total + sign * int(h, 16)) % 2**128
        self.buckets[bucket_of(link)] = n, total
        if new is not None:
            self.hashes[link] = new

    def answer(self):
        return {b: f"{n} {total:032x}" for b, (n, total) in sorted(self.buckets.items()) if n}


class Store:
    """The notes, in memory, and a file of all that was done to them. Callers hold the lock."""

    def __init__(self, path, standby):
        self.lock = threading.Lock()
        self.documents = {}  # link: (position, body or None if deleted), by their last change
        self.position = 0  # counts the changes
        self.own = Sums()  # of the lines of all that is not deleted
        self.taken = Sums()  # of the lines that were imported
        self.cursor = None  # up to where the other side was imported, and since where
        self.fence = {"epoch": 0, "on": standby, "closed": False}
        self.file = open(path, "a+b", buffering=0)
        self.file.seek(0)
        whole = 0
        for line in self.file.read().splitlines(keepends=True):
            if line.endswith(b"\n"):  # else a crash has cut it off, before it was acknowledged
                self.apply(**json.loads(line))
                whole += len(line)
        self.file.truncate(whole)

    def commit(self, **change):
        """Makes a change durable, then does it."""
        record = json.dumps(change).encode() + b"\n"
        try:
            if self.file.write(record) != len(record):
                raise OSError("the disk is full")
            os.fsync(self.file.fileno())
        except OSError as e:
            print(e, file=sys.stderr, flush=True)
            os._exit(1)  # only the next start can tell what the disk has
        self.apply(**change)

    def apply(self, put=(), taken=(), cursor=None, begin=None, fence=None):
        for link, body in put:
            self.position += 1
            self.documents.pop(link, None)  # so that it comes last
            self.documents[link] = self.position, body
            self.own.put(link, None if body is None else hash_of(line_of(link, self.position, body)))
        for link, hashed in taken:
            self.taken.put(link, hashed)
        if cursor is not None:
            self.cursor = {**self.cursor, "position": cursor}
        if begin is not None:
            self.cursor, self.taken = {"base": begin, "position": begin}, Sums()
            if begin == "":  # a copy of everything: nothing of what was here belongs to it
                self.documents, self.own = {}, Sums()
        if fence is not None:
            if self.fence["on"] and not fence["on"]:
                self.cursor = None  # this side is in charge now, and no copy any more
            self.fence = fence

    def changed(self, after):
        """What has changed after the position, in order; with -1 all that there is."""
        found = []
        for link, (position, body) in reversed(self.documents.items()):
            if position <= after:
                break
            if body is not None or after >= 0:
                found.append((link, position, body))
        return found[::-1]


class Pictures:
    """Bytes by their digest, each in a file that is whole or not there."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)

    def path(self, digest):
        if not isinstance(digest, str) or not re.fullmatch("sha256:[0-9a-f]{64}", digest):
            raise Problem(400, f"{digest!r} is no digest: it is sha256: and 64 lower-case hex digits")
        return os.path.join(self.directory, digest[7:])

    def has(self, digest):
        return os.path.exists(self.path(digest))

    def get(self, digest):
        if not self.has(digest):
            raise Problem(404, f"there is no picture {digest}")
        with open(self.path(digest), "rb") as f:
            return f.read()

    def put(self, digest, data):
        path, actual = self.path(digest), "sha256:" + hashlib.sha256(data).hexdigest()
        if actual != digest:
            raise Problem(400, f"the bytes have the digest {actual}, not {digest}")
        with open(path + ".new", "wb") as f:
            f.write(data)
            os.fsync(f.fileno())
        os.rename(path + ".new", path)
        directory = os.open(self.directory, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        return {"digest": digest, "size": len(data)}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests with what the method for it returns. serve sets what is missing here."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body of an answer go out together

    def handle_request(self):
        url = urlsplit(self.path)
        self.query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.data, status = self.rfile.read(int(self.headers.get("Content-Length", 0))), 200
        top, _, rest = url.path[1:].partition("/")
        self.digest = rest.rpartition("/")[2]
        name = {"healthz": "health", "notes": "note", "pictures": "picture", "migrate": "migrate_" + rest.partition("/")[0]}.get(top)
        action = getattr(self, f"{self.command}_{name}", None)
        try:
            if top == "migrate" and not compare_digest(self.headers.get("Authorization", ""), "Bearer " + self.token):
                raise Problem(401, "the token of KIT_TOKEN is needed")
            if "Transfer-Encoding" in self.headers:
                self.close_connection = True  # its body is not read
                raise Problem(411, "a body needs a Content-Length")
            if action is None:
                raise Problem(404, "there is nothing here")
            with self.store.lock:
                result = action(url.path[1:], "" if self.digest.startswith("sha256:") else self.data.decode())
        except Problem as e:
            status, result = e.status, {"status": e.status, "detail": str(e), "link": e.link, "field": e.field}
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            status, result = 400, {"status": 400, "detail": f"the request makes no sense: {e!r}"}
        self.send_response(status)
        if isinstance(result, (dict, bytes)):
            data = result if isinstance(result, bytes) else json.dumps(result).encode() + b"\n"
            self.send_header("Content-Type", "application/octet-stream" if data is result else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
        else:
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Connection", "close")  # which ends the body
            lines = (line.encode() + b"\n" for line in result)
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                with gzip.open(self.wfile, "wb", compresslevel=1) as packed:
                    packed.writelines(lines)
            else:
                self.end_headers()
                self.wfile.writelines(lines)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = handle_request

    def log_message(self, *_):
        pass

    # What the service is for.

    def GET_health(self, *_):
        return {"status": "ready"}

    def GET_note(self, link, _, refused="closed"):
        if self.store.fence[refused]:
            raise Problem(421, "another side is in charge", link)
        _, note = self.store.documents.get(link, (0, None))
        if note is None and self.command != "PUT":
            raise Problem(404, "there is no such note", link)
        return note

    def PUT_note(self, link, body):
        old = self.GET_note(link, body, refused="on") or {"version": 0}
        new = {**json.loads(body), "version": old["version"] + 1}
        self.check_note(link, new)
        self.store.commit(put=[(link, new)])
        return new

    def DELETE_note(self, link, body):
        old = self.GET_note(link, body, refused="on")
        self.store.commit(put=[(link, None)])
        return old

    def check_note(self, link, note):
        self.check(link, note)
        if "picture" in note and not self.pictures.has(note["picture"]):
            raise Problem(422, "its picture is not here", link, "picture")

    def GET_picture(self, link, _, refused="closed"):
        if self.store.fence[refused]:
            raise Problem(421, "another side is in charge", link)
        return self.pictures.get(self.digest) if self.command == "GET" else None

    def PUT_picture(self, link, body):
        self.GET_picture(link, body, refused="on")
        return self.pictures.put(self.digest, self.data)

    # What an upgrade asks for.

    def GET_migrate_blobs(self, *_):
        return self.pictures.get(self.digest)

    HEAD_migrate_blobs = GET_migrate_blobs

    def PUT_migrate_blobs(self, *_):
        return self.pictures.put(self.digest, self.data)

    def status(self):
        s = self.store
        status = {"protocol": "lines", "schema": self.schema, "exports": sorted(self.exports)}
        status |= {"position": str(s.position), "documents": len(s.own.hashes), "cursor": s.cursor}
        return status | {"epoch": s.fence["epoch"], "fenced": s.fence["on"], "closed": s.fence["closed"]}

    def GET_migrate_status(self, *_):
        return {**self.status(), **({"left": len(self.changed())} if "after" in self.query else {})}

    def POST_migrate_fence(self, _, body):
        fence = {"closed": False, **json.loads(body)}
        if fence["epoch"] < self.store.fence["epoch"]:
            raise Problem(409, f"epoch {fence['epoch']} is older than {self.store.fence['epoch']}")
        self.store.commit(fence=fence)
        return self.status()

    def POST_migrate_begin(self, _, body):
        if not self.store.fence["on"]:
            raise Problem(409, "this side takes writes: a copy would replace them")
        self.store.commit(begin=json.loads(body)["base"])
        return self.status()

    def POST_migrate_import(self, _, body):
        cursor, after = self.store.cursor, self.query["after"]
        if not self.store.fence["on"] or cursor is None or cursor["position"] != after:
            raise Problem(409, f"this side does not wait for what comes after {after!r}")
        up = self.way(self.imports)
        put, taken, end = [], [], None
        for text in filter(None, body.split("\n")):
            line = json.loads(text)
            if "end" in line:
                end = line["end"]
            elif "deleted" in line:
                put.append((line["link"], None))
                # Of a copy of everything it is missing; of one of changes it is one.
                taken.append((line["link"], None if cursor["base"] == "" else hash_of(text)))
            else:
                try:
                    note = up(line["link"], line["body"])
                    self.check_note(line["link"], note)
                except (KeyError, TypeError, AttributeError) as e:
                    raise Problem(422, f"it cannot be transformed: {e!r}", line["link"]) from e
                put.append((line["link"], note))
                taken.append((line["link"], hash_of(text)))
        self.store.commit(put=put, taken=taken, cursor=end)
        return self.status()

    def GET_migrate_export(self, *_):
        end = json.dumps({"end": str(self.store.position)})
        return chain((line for _, line in self.lines()), [end])  # made while it is sent, without the lock

    def GET_migrate_checksum(self, *_):
        sums = {"own": self.store.own, "taken": self.store.taken}[self.query["side"]]
        if "after" in self.query:
            sums = Sums()
            for link, line in self.lines():
                sums.put(link, hash_of(line))
        return {"documents": len(self.store.own.hashes), "buckets": sums.answer()}

    def way(self, ways):
        schema = int(self.query.get("schema", self.schema))
        if schema not in ways:
            raise Problem(400, f"schema {schema} is none of {sorted(ways)}")
        return ways[schema]

    def changed(self):
        after = int(self.query.get("after") or -1)
        if after > self.store.position:
            raise Problem(410, f"this store has not come to position {after}")
        return self.store.changed(after)

    def lines(self):
        """The links and lines that are asked for, as they are now."""
        down, buckets = self.way(self.exports), self.query.get("bucket", "")
        return (
            (link, line_of(link, position, body and down(body)))
            for link, position, body in self.changed()
            if not buckets or bucket_of(link) in buckets.split(",")
        )


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


def serve(schema, check, imports=None, exports=None):
    """Runs a version. check refuses notes; imports and exports have the ways from and to other schemas."""
    Handler.schema, Handler.check = schema, staticmethod(check)
    Handler.imports = {schema: lambda link, note: note, **(imports or {})}
    Handler.exports = {schema: lambda note: note, **(exports or {})}
    Handler.token = os.environ["KIT_TOKEN"]
    directory = os.environ.get("DATA_DIR", ".")
    Handler.pictures = Pictures(os.path.join(directory, "pictures"))
    Handler.store = Store(os.path.join(directory, "notes.log"), os.environ.get("KIT_STANDBY") == "1")
    host, port = os.environ.get("KIT_LISTEN", "127.0.0.1:7800").rsplit(":", 1)
    Server((host, int(port)), Handler).serve_forever()
