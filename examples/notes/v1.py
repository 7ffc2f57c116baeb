"""Version 1 of the notes: a note is a text, not too long."""

import notes


def check(link, note):
    if not isinstance(note.get("text"), str) or len(note["text"]) > 1000:
        raise notes.Problem(422, "a note has a text of up to 1000 characters", link, "text")


if __name__ == "__main__":
    notes.serve(schema=1, check=check)
