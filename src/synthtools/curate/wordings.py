"""What models are told by the protocols of ``synth generate``. The papers' own prompts are not used:
these words are ours."""

from __future__ import annotations

# WRAP (arXiv 2401.16380) rephrases a document in one of four styles.
STYLES = {
    "wrap-easy": (
        "Rewrite the text below so that a young child can follow it. Use very short sentences and "
        "only the simplest words. Keep what it says; add nothing. Write the new text alone."
    ),
    "wrap-medium": (
        "Rewrite the text below in clear, well-formed English of high quality, as a good "
        "encyclopedia would put it. Keep what it says; add nothing. Write the new text alone."
    ),
    "wrap-hard": (
        "Rewrite the text below for learned readers: terse and precise, with the rare and technical "
        "words that scholars would choose. Keep what it says; add nothing. Write the new text alone."
    ),
    "wrap-qa": (
        "Turn the text below into a conversation of questions and answers that holds everything it "
        'says. Begin each question with "Question:" and each answer with "Answer:". Write the '
        "conversation alone."
    ),
}

SELF_INSTRUCT = (
    "Here is a list of tasks that people have given to an assistant:\n\n{examples}\n\nGo on with the "
    "list: write {count} new tasks, numbered from {first}, one on a line. Each must be clear by "
    "itself, and unlike the tasks above in subject and in kind. Write the list alone."
)
# For a model that is to go on with the list itself.
SELF_INSTRUCT_PLAIN = "Tasks for an assistant, each unlike the others:\n\n{examples}\n{first}."

RATIONALE = "{question}\n\nThink it through step by step. Then end with a line of the form: The answer is X."
RATIONALE_HINT = (
    "{question}\n\n(Hint: the right answer is {answer}.)\n\nExplain step by step how one gets there, "
    "as if you did not know the answer beforehand. Then end with a line of the form: The answer is X."
)

EXTRAPOLATE = (
    "A small model was asked a question and got it wrong.\n\nQuestion: {question}\nIts wrong answer: "
    "{wrong}\nThe right answer: {answer}\n\nFind out what makes the question hard for it. Then write "
    "one new question that is hard in the same way but is about something else, and its right "
    "answer, in this form:\nQuestion: …\nAnswer: …"
)
EXTRAPOLATE_BLIND = (
    "A small model could not answer this question.\n\nQuestion: {question}\nThe right answer: "
    "{answer}\n\nFind out what makes the question hard for it. Then write one new question that is "
    "hard in the same way but is about something else, and its right answer, in this form:\n"
    "Question: …\nAnswer: …"
)
