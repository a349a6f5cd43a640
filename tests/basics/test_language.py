from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.language import language_of, normalise, numbers, plain_number, sentences, stems

EUROPEAN = st.text(st.characters(max_codepoint=0x24F))
SAMPLES = {
    "en": "You can return the goods within 30 days, and we will refund the price that you paid.",
    "de": "Sie können die Ware innerhalb von 30 Tagen zurückgeben, und wir erstatten den Preis.",
    "fr": "Vous pouvez renvoyer les articles dans les 30 jours et nous vous remboursons le prix.",
    "es": "Puede devolver los artículos en un plazo de 30 días y le reembolsamos el precio que pagó.",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("HELLO", "hello"),
        ("Straße STRASSE", "strasse strasse"),
        ("Größe Überweisung", "grosse uberweisung"),
        ("Ça coûte à l'œil nu", "ca coute a l'œil nu"),
        ("¿Señal? ¡Sí!", "¿senal? ¡si!"),
        ("İstanbul", "istanbul"),
        ("ﬁne ½", "fine 1⁄2"),
        ("日本", "日本"),
        ("Har\u200bbour Har\u00adbour", "harbour harbour"),
    ],
)
def test_normalising_gives_lower_case_without_accents(text: str, expected: str) -> None:
    assert normalise(text) == expected


@settings(deadline=None, max_examples=200)
@given(EUROPEAN)
def test_normalised_text_has_no_accents_and_stays_as_it_is(text: str) -> None:
    plain = normalise(text)
    assert not any(unicodedata.combining(character) for character in plain)
    assert plain == plain.casefold()
    assert normalise(plain) == plain


@settings(deadline=None, max_examples=200)
@given(EUROPEAN)
def test_case_and_the_way_accents_are_stored_make_no_difference(text: str) -> None:
    assert normalise(unicodedata.normalize("NFD", text)) == normalise(unicodedata.normalize("NFC", text))
    assert normalise(text.lower()) == normalise(text.casefold()) == normalise(text)


@pytest.mark.parametrize("text", ["№ 7", "Acme™", "\U0001f130", "ℂ"])
def test_normalised_text_is_lower_case_whatever_the_sign(text: str) -> None:
    assert normalise(text) == normalise(text).casefold()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("no figure", []),
        ("1.250,00 and 1,250.00 and 1250", [1250.0, 1250.0, 1250.0]),
        ("1'250.50", [1250.5]),
        ("1\u00a0250,50 and 1\u202f250,50", [1250.5, 1250.5]),
        ("€49.90, 49,90 €, 49.9 EUR", [49.9, 49.9, 49.9]),
        ("1.250.000,75", [1250000.75]),
        ("1.000 and 1,000", [1000.0, 1000.0]),
        ("2,5 % of 30 days.", [2.5, 30.0]),
        ("the end is 12. Next", [12.0]),
        ("2026-10-05", [2026.0, 10.0, 5.0]),
        ("3x7", [3.0, 7.0]),
        ("K-2071", [2071.0]),
        ("1.", [1.0]),
        ("0", [0.0]),
        ("007", [7.0]),
        ("1,5,", [1.5]),
        ("0.125 and 0,125", [0.125, 0.125]),
        ("1,250.125 and 1.250,125", [1250.125, 1250.125]),
        ("1250.125 and 3.1416", [1250.125, 3.1416]),
        ("1\u2009250", [1250.0]),
        ("5'10 and 30\u00a02026", [5.0, 10.0, 30.0, 2026.0]),
        ("٣٠ and ３０", [30.0, 30.0]),
    ],
)
def test_numbers_are_read_whatever_their_grouping(text: str, expected: list[float]) -> None:
    assert numbers(text) == expected


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**9), st.integers(0, 99))
def test_an_amount_is_the_same_in_every_notation(whole: int, cents: int) -> None:
    english = f"{whole:,}.{cents:02d}"
    written = [
        english,
        f"{whole}.{cents:02d}",
        f"{whole},{cents:02d}",
        english.translate(str.maketrans(",.", ".,")),
        english.translate(str.maketrans(",.", "'.")),
        english.translate(str.maketrans(",.", "\u00a0,")),
        english.translate(str.maketrans(",.", "\u202f,")),
    ]
    assert [numbers(f"pay {text} now") for text in written] == [[float(f"{whole}.{cents:02d}")]] * len(written)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**12))
def test_a_whole_number_is_the_same_with_and_without_grouping(whole: int) -> None:
    assert numbers(f"{whole:,}") == numbers(f"{whole:,}".replace(",", ".")) == numbers(str(whole)) == [float(whole)]


def test_a_plain_number_keeps_every_digit() -> None:
    assert plain_number("4006381333931") == "4006381333931"
    assert plain_number("12.345.678.901.234.567,80") == "12345678901234567.8"


def test_the_typographic_apostrophe_groups_too() -> None:
    assert numbers("CHF 1’250.50") == [1250.5]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("z.B. Berlin ist groß. Dann Art. 5 DSGVO.", ["z.B. Berlin ist groß.", "Dann Art. 5 DSGVO."]),
        ("Am 3. Oktober ist Feiertag. Danach nicht.", ["Am 3. Oktober ist Feiertag.", "Danach nicht."]),
        ("He met Dr. Smith. Then he left.", ["He met Dr. Smith.", "Then he left."]),
        ("Title\n- first\n- second", ["Title", "- first", "- second"]),
        ("It costs 4.50 EUR. Pay now.", ["It costs 4.50 EUR.", "Pay now."]),
        ("¿Qué pasa? ¡Nada! “Sí.” Bien.", ["¿Qué pasa?", "¡Nada!", "“Sí.” Bien."]),
        ("Paid. [order-1] confirms it. §7 applies.", ["Paid.", "[order-1] confirms it.", "§7 applies."]),
        ("Yes. and so on", ["Yes. and so on"]),
        ("Art. 17. Frist", ["Art. 17. Frist"]),
    ],
)
def test_a_text_falls_into_sentences_and_list_items(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from('aB1.!?\n "-[§Ä。')))
def test_no_character_is_lost_or_moved_by_splitting(text: str) -> None:
    pieces = sentences(text)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(piece == piece.strip() and piece for piece in pieces)
    assert not any("\n" in piece for piece in pieces)


@pytest.mark.parametrize(("language", "text"), SAMPLES.items())
def test_the_language_of_a_sentence(language: str, text: str) -> None:
    assert language_of(text) == language
    assert language_of(text, default="es") == language
    assert language_of(text.upper()) == language


@pytest.mark.parametrize("text", ["", "12345", "日本語", "Nordlicht K-2071", "\x00"])
@pytest.mark.parametrize("default", ["en", "de", "xx"])
def test_a_text_without_a_sign_of_its_language_has_the_default(text: str, default: str) -> None:
    assert language_of(text, default) == default


def test_typical_letters_tell_the_language_of_a_single_word() -> None:
    assert language_of("Rückgabe") == "de"
    assert language_of("çœur") == "fr"
    assert language_of("mañana") == "es"


def test_a_word_with_sharp_s_is_german() -> None:
    assert language_of("Straße") == "de"


def test_the_way_accents_are_stored_does_not_change_the_language() -> None:
    assert language_of(unicodedata.normalize("NFD", "Rückgabe")) == "de"


@pytest.mark.parametrize(
    "words",
    [
        "refund refunds refunded refunding", "payment payments",
        "Kündigung Kündigungen kündigen", "Rechnung Rechnungen",
        "facture factures", "remboursement remboursements", "réclamation réclamations",
        "factura facturas", "pedido pedidos",
    ],
)  # fmt: skip
def test_inflected_forms_meet(words: str) -> None:
    assert len(stems(words)) == 1


@pytest.mark.parametrize(
    "words", ["policy policies", "company companies", "devolución devoluciones", "reclamación reclamaciones"]
)
def test_a_frequent_plural_meets_its_singular(words: str) -> None:
    assert len(stems(words)) == 1


@pytest.mark.parametrize("different", ["refund return", "invoice voice", "30 300", "A1234 A1235", "contract contact"])
def test_different_words_stay_apart(different: str) -> None:
    assert len(stems(different)) == 2


def test_function_words_of_all_languages_carry_no_meaning() -> None:
    assert stems("the and nicht für vous pour usted con") == frozenset()
    assert stems("Is it in the box?") == {"box"}
    assert stems("") == frozenset()


def test_short_words_and_words_with_digits_keep_their_ends() -> None:
    assert stems("ones 4711s2es X500-ZINGS") == {"ones", "4711s2es", "x500-zings"}
