"""Versions of all file formats, in one place. No torch in here."""

VERSIONS = {
    "configuration": 2,  # config.json, and the description in a file of weights
    "plan": 4,
    "statistics": 2,  # of a reference
    "evaluation": 1,
    "facts": 2,  # of a report
    "items": 1,  # decoded data in the cache
    "classifier": 3,  # raised as well when its network or its training changes
}
"""Versions of the formats of all files that we write. A file of another version is refused or made anew."""
