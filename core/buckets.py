"""How often something may happen: so often at once, and so often a second from then on."""

from time import monotonic


class Bucket:
    """A token bucket: ``size`` at once, and ``rate`` more in each second, up to the size."""

    __slots__ = ("_left", "_rate", "_size", "_then")

    def __init__(self, size: float, rate: float) -> None:
        self._size, self._rate = size, rate
        self._left = size
        self._then = monotonic()

    def take(self) -> bool:
        """Whether it may happen once more."""
        then, self._then = self._then, monotonic()
        self._left = min(self._size, self._left + (self._then - then) * self._rate)
        if self._left < 1:
            return False
        self._left -= 1
        return True
