"""The made country for `tilth demo`: fields, seasons and scenes drawn at random and named as made."""

from jobs.demo.country import Country, CountryOptions, make_country, write_country

__all__ = ["Country", "CountryOptions", "make_country", "write_country"]
