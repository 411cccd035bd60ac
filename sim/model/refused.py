"""How the models say no."""


class RefusedError(ValueError):
    """What cannot be read or written; `reason` is one word for the cause."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
