"""Files of one definition: the document of such a file, as its model reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from alerts.document_files import WrongFiles, documents_of, problem
from alerts.document_sentences import Part, sentence_for
from alerts.located_yaml import Mistake

Written = TypeVar("Written", bound=Part)


def read_one(file: Path, model: type[Written], what: str, several: str) -> Written:
    """The one document of a file; everything that is missing or wrong in it at once as `WrongFiles`.

    `what` should be in the file ("a price list"), `several` is what more than one are called ("lists").
    """
    found = documents_of(file, what)
    problems = [problem(file, mistake) for mistake in found.mistakes]
    if len(found.documents) > 1:
        problems.append(
            problem(file, Mistake(1, "", f"There are {len(found.documents)} {several}: name a file of one."))
        )
    if problems:
        raise WrongFiles(problems)
    document = found.documents[0]
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        mistakes = (sentence_for(document, model, details) for details in error.errors())
        raise WrongFiles(problem(file, mistake) for mistake in mistakes) from None
