"""RSI, EMA, MACD and Bollinger bands of a series of closes, and the signal that three votes give. Pure.

The arithmetic is talipp's, in floats; what is kept is rounded once, to the columns' decimals. A value is None until its window is
full. Closes are one per bucket; the first of a run starts the warm-up.

- RSI: 14 changes, smoothed as Wilder does; a price that has not moved at all is 50, neither bought nor sold.
- EMA 12 and 26, seeded with the mean of their first window. MACD = EMA 12 - EMA 26; its signal line is the EMA 9 of it, seeded
  with the mean of its first 9; histogram = MACD - signal line.
- Bollinger bands: mean of 20 closes, 2 standard deviations of the population above and below.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from talipp.indicators import BB, EMA, RSI

RSI_PERIOD = 14
FAST, SLOW, SIGNAL_LINE = 12, 26, 9
BAND_PERIOD, BAND_WIDTH = 20, 2
PARAMETERS = "RSI 14, EMA 12/26, MACD signal 9, Bollinger 20/2"
OVERSOLD, OVERBOUGHT = 30, 70

WARM_AFTER = SLOW + SIGNAL_LINE - 1  # closes until every value is known: 34
TAIL = 40  # closes that a resumed run is given; more than every window
MAX_MISSING = 4
"""Buckets in a row that may lack a close within a run. After a longer gap the warm-up starts again."""

CENT, HUNDREDTH_OF_A_CENT = ".2f", ".4f"


class Signal(Enum):
    BUY = "BUY"
    SELL = "SELL"
    NEUTRAL = "NEUTRAL"


class Values(NamedTuple):
    """The indicators after one close, as stored."""

    rsi: Decimal | None
    macd: Decimal | None
    macd_signal: Decimal | None
    macd_histogram: Decimal | None
    bb_upper: Decimal | None
    bb_middle: Decimal | None
    bb_lower: Decimal | None
    ema_12: Decimal | None
    ema_26: Decimal | None
    signal: Signal | None = None


State = tuple[float, float, float, float, float, float]
"""What a warm run carries beside its last closes: EMA 12, EMA 26, signal line, mean gain, mean loss, mean of the bands."""


class Run:
    """Closes in a row without a long gap. `resume` continues one to the last digit, from its length, last closes and state."""

    def __init__(self) -> None:
        self.length = 0
        self._rsi = RSI(RSI_PERIOD)
        self._fast, self._slow, self._signal = EMA(FAST), EMA(SLOW), EMA(SIGNAL_LINE)
        self._bands = BB(BAND_PERIOD, BAND_WIDTH)

    @classmethod
    def resume(cls, length: int, closes: Sequence[Decimal], state: State | None) -> "Run":
        """`closes` are the last ones, oldest first: TAIL of them, or all of a shorter run, which are then simply taken again.

        Raises ValueError when they are too few, or when a longer run comes without its state.
        """
        if len(closes) < min(length, TAIL) or (length > TAIL and state is None):
            raise ValueError(f"A run of {length} closes cannot go on from {len(closes)} of them: compute it anew.")
        run = cls()
        if length <= TAIL:
            for close in closes[-length:] if length else ():
                run.add(close)
            return run
        tail = [float(close) for close in closes[-TAIL:]]
        fast, slow, signal, gain, loss, mean = state or (0.0,) * 6
        run.length = length
        for indicator, last in ((run._fast, fast), (run._slow, slow), (run._signal, signal)):
            _set(indicator, tail, last)
        _set(run._rsi, tail, None)
        run._rsi.avg_gain, run._rsi.avg_loss = _managed(run._rsi, gain, loss)
        _set(run._bands, tail, None)
        _set(run._bands.central_band, tail, mean)
        _set(run._bands.std_dev, tail, None)
        return run

    @property
    def state(self) -> State | None:
        """What `resume` needs beside the closes; None while all of those are enough."""
        if self.length <= TAIL:
            return None
        return (
            self._fast[-1],
            self._slow[-1],
            self._signal[-1],
            self._rsi.avg_gain[-1],
            self._rsi.avg_loss[-1],
            self._bands.central_band[-1],
        )

    def add(self, close: Decimal) -> Values:
        """Take the next close; the values after it."""
        price = float(close)
        self.length += 1
        for indicator in (self._rsi, self._fast, self._slow, self._bands):
            indicator.add(price)
        macd = signal = None
        if self.length >= SLOW:
            macd = self._fast[-1] - self._slow[-1]
            self._signal.add(macd)
            signal = self._signal[-1]
        bands = self._bands[-1]
        values = Values(
            rsi=_rounded(self._strength(), CENT),
            macd=_rounded(macd, HUNDREDTH_OF_A_CENT),
            macd_signal=_rounded(signal, HUNDREDTH_OF_A_CENT),
            macd_histogram=_rounded(None if macd is None or signal is None else macd - signal, HUNDREDTH_OF_A_CENT),
            bb_upper=_rounded(bands and bands.ub, CENT),
            bb_middle=_rounded(bands and bands.cb, CENT),
            bb_lower=_rounded(bands and bands.lb, CENT),
            ema_12=_rounded(self._fast[-1], CENT),
            ema_26=_rounded(self._slow[-1], CENT),
        )
        self._forget()
        return values._replace(signal=vote(values, close))

    def _strength(self) -> float | None:
        if self._rsi[-1] is None:
            return None
        # Nothing went up and nothing down: talipp says 100, TA-Lib 0.
        return 50.0 if self._rsi.avg_gain[-1] == self._rsi.avg_loss[-1] == 0 else float(self._rsi[-1])

    def _forget(self) -> None:
        """talipp keeps everything it was ever given."""
        if len(self._fast.input_values) < 50 * TAIL:
            return
        for indicator in (self._rsi, self._fast, self._slow, self._signal, self._bands):
            indicator.purge_oldest(len(indicator.input_values) - TAIL)


def compute(closes: Iterable[Decimal]) -> Iterator[Values]:
    """The values after each close of one run."""
    run = Run()
    for close in closes:
        yield run.add(close)


def vote(values: Values, close: Decimal) -> Signal | None:
    """BUY or SELL when at least two of three votes say so, else NEUTRAL; None while one of them is not warm.

    RSI: below 30 buy, above 70 sell. MACD: histogram above 0 buy, below 0 sell. Bands: close below the lower one buy, above the
    upper one sell. The votes look at the rounded values, so that everybody can count them from the stored row.
    """
    rsi, histogram, lower, upper = values.rsi, values.macd_histogram, values.bb_lower, values.bb_upper
    if rsi is None or histogram is None or lower is None or upper is None:
        return None
    buy = (rsi < OVERSOLD) + (histogram > 0) + (close < lower)
    sell = (rsi > OVERBOUGHT) + (histogram < 0) + (close > upper)
    return Signal.BUY if buy >= 2 else Signal.SELL if sell >= 2 else Signal.NEUTRAL


def _rounded(value: float | None, form: str) -> Decimal | None:
    """To the form's decimals, from the float's exact value, half to even."""
    return None if value is None else Decimal(format(value, form))


def _set(indicator: BB | EMA | RSI, inputs: list[float], last: float | None) -> None:
    indicator.input_values = list(inputs)
    indicator.output_values = [last] * len(inputs)


def _managed(rsi: RSI, gain: float, loss: float) -> tuple[list[float], list[float]]:
    """The two lists of means that RSI keeps, filled in place: it also knows them as its managed sequences."""
    rsi.avg_gain.extend([gain] * TAIL)
    rsi.avg_loss.extend([loss] * TAIL)
    return rsi.avg_gain, rsi.avg_loss
