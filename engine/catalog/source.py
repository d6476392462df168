"""What the user says about one catalogue: where it is, what to take from it, and whom to trust."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from engine.catalog.links import is_loopback, scheme_of
from engine.types import ASSET_BANDS, Options

PLANETARY_COMPUTER = "planetary-computer"
MaskWord = Literal["scl", "qa_pixel", "pixel_qa", "fmask", "hls_fmask", "dea_fmask", "cloud_probability", "none"]
ASSET_NAMES = (*(band for bands in ASSET_BANDS.values() for band in bands), "mask")


class SourceOptions(Options):
    """One sensor's catalogue.

    catalog: STAC API, static ``catalog.json`` or ``.ndjson`` of items; path, http(s), s3 or other fsspec URL.
    collection: items of this collection only. assets: our band name (or ``mask``) -> the catalogue's asset key, for
    what differs from the namings known. max_cloud: percent; items that state more are left out. exclude:
    ids of items to do without, such as damaged ones. bandpass: ``oli`` takes reflectance as Landsat 8's OLI would have
    seen it, on the published lines of ``kernels.bandpass``, so that Landsat 7 to 9 and Sentinel-2A and 2B go into one
    composite; of Sentinel-2 the narrow near infrared (band 8A) then stands for ``nir``. sign:
    ``planetary-computer``, or the URL of a service that returns a token. allow_hosts: the only hosts (for ``s3://``
    the bucket) links may lead to besides the catalogue's own; ``*.example.org`` stands for every host below it.
    """

    catalog: Annotated[str, Field(min_length=1)]
    collection: Annotated[str, Field(min_length=1)]
    assets: dict[str, str] | None = None
    max_cloud: Annotated[float, Field(ge=0, le=100)] | None = None
    exclude: tuple[str, ...] = ()
    mask: MaskWord | None = None
    """How the numbers of the quality layer (the asset under mask) are to be read, where the items do not tell; with
    none, scenes are taken without their quality layer, clouds and all."""
    damaged: Literal["refuse", "leave_out"] = "refuse"
    """What becomes of a tile in which a scene's file is missing or damaged: it is set aside until the scene is mended
    (refuse), or it is built without that scene, and this is told (leave_out)."""
    bandpass: Literal["oli"] | None = None
    offset: Literal["item", "verify"] = "item"
    """Who says whether an offset of 0.1 is to be taken off Sentinel-2's numbers: the item, and the job is refused where
    the pixels contradict it; or, with ``verify``, the pixels of some scenes, looked at before work starts."""
    sign: str | None = None
    allow_hosts: tuple[str, ...] | None = None

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
