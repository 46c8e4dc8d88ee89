"""What can go wrong with an answer, as values for Origin.fault: each takes an origin.Answer and spoils it."""
import random


def status(code, headers=None, body=b""):
    """Another answer altogether: 429 with Retry-After, 500, 503, a redirect …"""
    def change(answer, _):
        answer.status, answer.body, answer.headers = code, body, dict(headers or {})
    return change


def redirect(location, code=302):
    return status(code, {"Location": location})


def reset_after(size):
    """TCP reset after `size` bytes of the body; -1: instead of an answer."""
    def change(answer, _):
        answer.cut_after, answer.cut = size, "reset"
    return change


def truncate_after(size):
    """The connection is closed in good manners after `size` bytes, fewer than Content-Length promised."""
    def change(answer, _):
        answer.length = len(answer.body)
        answer.cut_after, answer.cut = size, "close"
    return change


def truncate_without_length(size):
    """No Content-Length, and the body ends early: only the listing's size tells."""
    def change(answer, _):
        answer.length, answer.body = None, bytes(answer.body[:size])
        answer.headers.pop("Content-Range", None)
    return change


def stall_after(size):
    """Nothing more comes after `size` bytes, and the connection stays open."""
    def change(answer, _):
        answer.cut_after, answer.cut = size, "stall"
    return change


def flip_byte(at):
    """One wrong bit at `at` of the file, if this answer holds that place."""
    def change(answer, _):
        if answer.begin <= at < answer.begin + len(answer.body):
            body = bytearray(answer.body)
            body[at - answer.begin] ^= 1
            answer.body = bytes(body)
    return change


def etag(text):
    """The file was changed: another ETag (and, as a server would, no heed of If-Range)."""
    def change(answer, _):
        answer.headers["ETag"] = f'"{text}"'
    return change


def header(name, value):
    """One header otherwise, or gone (None)."""
    def change(answer, _):
        answer.headers.pop(name, None)
        if value is not None:
            answer.headers[name] = value
    return change


def longer(by):
    """`by` bytes more than the file has, and a Content-Length that says so."""
    def change(answer, _):
        answer.body = bytes(answer.body) + b"\0" * by
    return change


def declared_length(size):
    """A Content-Length that is not the body's."""
    def change(answer, _):
        answer.length = size
    return change


def endless(_answer=None):
    """A body without an end and without a Content-Length."""
    def change(answer, _):
        answer.endless, answer.length = True, None
        answer.body = bytes(answer.body) or b"\0" * 65536
    return change


def body(data):
    def change(answer, _):
        answer.body = data
    return change


def delay(seconds):
    def change(answer, _):
        answer.delay += seconds
    return change


def slow(bytes_a_second):
    def change(answer, _):
        answer.rate = bytes_a_second
    return change


def clock_skew(seconds):
    def change(answer, _):
        answer.clock_skew = seconds
    return change


def resets_by_chance(probability, seed=1):
    """A reset somewhere in the body, of so many answers."""
    chance = random.Random(seed)

    def change(answer, _):
        if chance.random() < probability:
            answer.cut_after, answer.cut = chance.randrange(max(1, len(answer.body))), "reset"
    return change
