"""What the user says about one catalogue: where it is, what to take from it, and whom to trust."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from engine.bands import ASSET_BANDS
from engine.catalog.links import is_loopback, scheme_of
from engine.types import Options

PLANETARY_COMPUTER = "planetary-computer"
MaskWord = Literal["scl", "qa_pixel", "pixel_qa", "fmask", "hls_fmask", "dea_fmask", "cloud_probability", "none"]
ASSET_NAMES = (*(band for bands in ASSET_BANDS.values() for band in bands), "mask")


class SourceOptions(Options):
    """One sensor's catalogue.

    With ``bandpass: oli`` Sentinel-2's narrow near infrared (band 8A) stands for ``nir``; lines: ``kernels.bandpass``.
    """

    catalog: Annotated[str, Field(min_length=1)]
    """STAC API, static catalog.json or NDJSON of items: path, https, s3 or another fsspec URL."""
    collection: Annotated[str, Field(min_length=1)]
    """Items of this collection alone are used."""
    assets: dict[str, str] | None = None
    """Our band name (or mask) and the catalogue's asset key, where it is none of the usual ones, as in {swir1:
    swir16}; None: the usual ones."""
    max_cloud: Annotated[float, Field(ge=0, le=100)] | None = None
    """Items that state more cloud, in percent, are left out; None: none is."""
    exclude: tuple[str, ...] = ()
    """Ids of items to do without, such as damaged ones."""
    mask: MaskWord | None = None
    """How the numbers of the quality layer (the asset under mask) are to be read, where the items do not tell; with
    none, scenes are taken without their quality layer, clouds and all."""
    damaged: Literal["refuse", "leave_out"] = "refuse"
    """What becomes of a tile in which a scene's file is missing or damaged: it is set aside until the scene is mended
    (refuse), or it is built without that scene, and this is told (leave_out)."""
    bandpass: Literal["oli"] | None = None
    """oli: reflectance as Landsat 8's OLI would have seen it, on the published lines, so that Landsat 7 to 9 and
    Sentinel-2A and 2B go into one composite; None: as it comes."""
    offset: Literal["item", "verify"] = "item"
    """Who says whether an offset of 0.1 is to be taken off Sentinel-2's numbers: the item, and the job is refused where
    the pixels contradict it; or, with ``verify``, the pixels of some scenes, looked at before work starts."""
    sign: str | None = None
    """How links are signed while reading: planetary-computer, or the https URL of a service that returns a
    token; None: not at all."""
    allow_hosts: tuple[str, ...] | None = None
    """The only hosts (for s3:// buckets) that links may lead to besides the catalogue's own; *.example.org
    stands for every host below it; None: any."""

    @field_validator("assets")
    @classmethod
    def _our_names(cls, assets: dict[str, str] | None) -> dict[str, str] | None:
        unknown = sorted(set(assets or ()) - set(ASSET_NAMES))
        if unknown:
            raise ValueError(
                f"assets names {', '.join(unknown)}; expected: our band names {', '.join(ASSET_NAMES)}; "
                "remedy: write our name first, the catalogue's asset key second, as in {swir1: swir16}"
            )
        return assets

    @field_validator("sign")
    @classmethod
    def _signer(cls, sign: str | None) -> str | None:
        if sign is None or sign == PLANETARY_COMPUTER or scheme_of(sign) == "https":
            return sign
        if scheme_of(sign) == "http" and is_loopback(urlsplit(sign).hostname):
            return sign
        raise ValueError(
            f"sign is {sign!r}; expected: {PLANETARY_COMPUTER!r} or the https URL of a token service; "
            "remedy: leave it out where links need no signature"
        )

    @field_validator("catalog")
    @classmethod
    def _reachable(cls, catalog: str) -> str:
        if scheme_of(catalog) == "http" and not is_loopback(urlsplit(catalog).hostname):
            raise ValueError(f"catalog {catalog!r} is http without TLS; expected: https; remedy: use its https address")
        return catalog
