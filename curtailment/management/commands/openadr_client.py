import asyncio
import signal
import sys
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from curtailment.models import SignalSource
from curtailment.openadr import NotInstalled, Vtn, library, run_ven
from curtailment.sources import make_source
from hosting.models import Site
from minefarm.lib.command import FarmCommand

SILENT_AFTER_S = 240


class Command(FarmCommand):
    help = (
        "Be a VEN of OpenADR 2.0b until it is stopped: events of the utility's server become signals of one source of the"
        " site, which signal rules follow. The source has the VEN's name and is made when there is none."
    )
    example = "openadr_client --vtn-url https://vtn.example/OpenADR2/Simple/2.0b --ven-name north --site North"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--vtn-url", required=True)
        parser.add_argument("--ven-name", required=True)
        parser.add_argument("--site", required=True, metavar="NAME|ID")
        parser.add_argument("--cert", help="our certificate, a PEM file; the utility knows its fingerprint")
        parser.add_argument("--key", help="its key")
        parser.add_argument("--ca", help="who signed the utility's certificate")
        parser.add_argument("--fingerprint", help="of the utility's certificate; its messages must carry it")

    def handle(self, *, vtn_url: str, ven_name: str, site: str, json: bool, **options: Any) -> None:
        try:
            library()
        except NotInstalled as missing:
            raise CommandError(str(missing)) from None
        if not vtn_url.startswith(("http://", "https://")):
            raise CommandError(f"{vtn_url} is no URL: give one that begins with https://.")
        if (options["cert"] is None) != (options["key"] is None):
            raise CommandError("Give --cert and --key together.")
        source = source_of(ven_name, site)
        vtn = Vtn(vtn_url, ven_name, options["cert"], options["key"], options["ca"], options["fingerprint"])
        stop = {"asked": False}

        def ask(*_: Any) -> None:
            stop["asked"] = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ask)
        asyncio.run(
            run_ven(vtn, source.pk, stopped=lambda: stop["asked"], told=lambda text: print(text, file=sys.stderr))
        )
        self.emit({"source": str(source.pk), "stopped": True}, "stopped", as_json=json)


def source_of(ven_name: str, site: str) -> SignalSource:
    """The source of this name at the site, made when there is none. Raises CommandError."""
    sites = Site.objects.filter(name=site) or Site.objects.filter(pk=int(site) if site.isdecimal() else 0)
    found = sites.first()
    if found is None:
        raise CommandError(f"There is no site {site!r}: give its name or number.")
    known = SignalSource.objects.filter(site=found, name=ven_name).first()
    if known is not None and known.disabled_at is not None:
        raise CommandError(f"The source {ven_name!r} was switched off: choose another --ven-name.")
    try:
        return known or make_source(site=found, name=ven_name, silent_after_s=SILENT_AFTER_S, by=None)
    except ValidationError as refused:
        raise CommandError(" ".join(refused.messages)) from None
