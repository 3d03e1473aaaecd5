"""State that the rules share while they go through a text: the fields read so far, and the context of the next token.

Only rules and `finalize` change it. A rule gets an index and returns a higher one, which keeps parsing linear.
"""

from signalhub.grammar.lexer import Token
from signalhub.grammar.matching import Match, TokenizedText
from signalhub.grammar.numbers import Number
from signalhub.grammar.parsed_fields import ParsedFields, Spanned, SymbolMatch


class ParserState:
    """`expects_entry`: a number without a label would be the entry; `in_target_list`: it would be a take profit."""

    def __init__(self, text: TokenizedText, fields: ParsedFields) -> None:
        self.text = text
        self.tokens = text.tokens
        self.fields = fields
        # The context of the next token.
        self.expects_entry = False
        self.in_target_list = False
        self.labelled_symbol_index = -1
        # Where the signal is in the text: text before the start and after the end is ignored.
        self.signal_start = -1
        self.signal_end = 0
        # What `finalize` and `intent` decide on when the whole text is read.
        self.announced_entry: Spanned[str] | None = None  # a word such as `from` that announced an entry
        self.side_indexes: list[int] = []
        self.restart_indexes: list[int] = []  # sides and symbols after a complete signal
        self.remark_indexes: list[int] = []  # words about open trades, negations, conditions
        self.tagged_symbols: list[SymbolMatch] = []
        self.labelled_symbols: list[SymbolMatch] = []
        self.unexplained_numbers: list[Number] = []
        self.header_note_numbers: list[Number] = []

    @property
    def is_complete(self) -> bool:
        """Whether both kinds of level are there, so that another side would begin another signal."""
        return bool(self.fields.stop_losses and self.fields.take_profits)

    @property
    def has_levels(self) -> bool:
        return bool(self.fields.stop_losses or self.fields.take_profits)

    @property
    def has_header(self) -> bool:
        return bool(self.fields.sides or self.fields.symbols)

    def apply(self, match: Match) -> None:
        """Record the used tokens, notes, problems and end of a match. The caller adds its prices to a field."""
        for index in match.used:
            self.tokens[index].used = True
        for start_index, end_index in match.notes:
            self.add_note(start_index, end_index)
        for problem in match.problems:
            self.fields.add_problem(*problem)
        self.signal_end = max(self.signal_end, match.levels_end)

    def apply_symbol(self, symbol: SymbolMatch) -> None:
        """Record what a symbol match found besides the symbol. The caller decides where the symbol belongs."""
        if symbol.exchange_index >= 0:
            self.tokens[symbol.exchange_index].used = True
        for problem in symbol.problems:
            self.fields.add_problem(*problem)

    def mark_signal_start(self, token: Token) -> None:
        """Start the signal at this token, if it has not started."""
        if self.signal_start < 0:
            self.signal_start = token.start

    def mark_used(self, start_index: int, end_index: int) -> None:
        for token in self.tokens[start_index:end_index]:
            token.used = True

    def add_note(self, start_index: int, end_index: int) -> None:
        """Record tokens that say something which does not change the order."""
        if end_index > start_index:
            self.mark_used(start_index, end_index)
            start, end = self.tokens[start_index].start, self.tokens[end_index - 1].end
            self.fields.notes.append(Spanned(self.text.source.raw[start:end], start, end))
