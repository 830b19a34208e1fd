"""What two ways of writing the same address, number or company have in common; pure. Duplicates are found by these."""

import re
import unicodedata

MIN_PHONE_DIGITS = 7
# Second levels under which a country registers its companies, as in .co.uk; under the country alone they are names.
SHARED_LEVELS = frozenset({"ac", "co", "com", "edu", "gov", "net", "or", "org"})
COUNTRY_LENGTH = 2
SAME_NUMBER_DIGITS = 9  # the national part; who wrote the country code and who did not mean the same telephone
# Everybody's: they say nothing about the company.
FREE_MAIL = frozenset(
    {"gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "me.com"}
    | {
        "aol.com",
        "gmx.com",
        "gmx.net",
        "gmx.de",
        "web.de",
        "proton.me",
        "protonmail.com",
        "mail.ru",
        "yandex.ru",
        "qq.com",
    }
)
LEGAL_FORMS = frozenset(
    {
        "ag",
        "bv",
        "co",
        "company",
        "corp",
        "corporation",
        "gmbh",
        "holding",
        "holdings",
        "inc",
        "incorporated",
        "kft",
        "kg",
    }
    | {
        "limited",
        "llc",
        "llp",
        "ltd",
        "nv",
        "oy",
        "oyj",
        "plc",
        "pte",
        "pty",
        "sa",
        "sarl",
        "sas",
        "se",
        "spa",
        "srl",
        "the",
        "ug",
    }
)


def email_key(email: str | None) -> str | None:
    """Lower case, without blanks around; None for what is no address. Plus-addresses stay apart: they may be people."""
    text = unicodedata.normalize("NFC", email or "").strip().lower()
    name, at, domain = text.rpartition("@")
    return text if at and name and "." in domain else None


def phone_key(phone: str | None) -> str | None:
    """The last nine digits; None for fewer than seven."""
    digits = re.sub(r"\D", "", (phone or "").lower().partition("ext")[0])
    return digits[-SAME_NUMBER_DIGITS:] if len(digits) >= MIN_PHONE_DIGITS else None


def company_key(company: str | None, email: str | None = None) -> str | None:
    """The name without case, accents, punctuation and legal form; without a name the mail's domain, unless it is everybody's."""
    plain = unicodedata.normalize("NFKD", company or "").casefold()
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = re.sub(r"[^\w]+", " ", letters.replace(".", "")).split()
    named = "".join(word for word in words if word not in LEGAL_FORMS) or "".join(words)
    if named:
        return named
    domain = (email_key(email) or "").rpartition("@")[2]
    if not domain or domain in FREE_MAIL:
        return None
    *above, name, country = domain.split(".")
    return above[-1] if above and name in SHARED_LEVELS and len(country) == COUNTRY_LENGTH else name
