"""Version 2 of the notes: a note has a title, which was the first line of its text, and a body of any length."""

import notes


def check(link, note):
    if not isinstance(note.get("title"), str) or not note["title"] or "\n" in note["title"]:
        raise notes.Problem(422, "a note has a title of one line", link, "title")
    if not isinstance(note.get("body"), str):
        raise notes.Problem(422, "a note has a body", link, "body")


def from_version_1(link, note):
    note = dict(note)
    title, _, body = note.pop("text").partition("\n")
    if not title:
        raise notes.Problem(422, "its first line, which becomes the title, is empty", link, "text")
    return {**note, "title": title, "body": body}


def to_version_1(note):
    note = dict(note)
    title, body = note.pop("title"), note.pop("body")
    return {**note, "text": f"{title}\n{body}" if body else title}


if __name__ == "__main__":
    notes.serve(schema=2, check=check, imports={1: from_version_1}, exports={1: to_version_1})
