"""Settings of `tastemaker dashboard`: `[dashboard]` in tastemaker.toml."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tastemaker.util.setting_types import HttpUrl, Names


class DashboardSettings(BaseModel):
    """The dashboard's process."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 9_280
    """Port to listen on."""
    public_url: HttpUrl | None = None
    """Address of the dashboard as browsers reach it, such as https://dashboard.shop.example. Only requests
    for this name, localhost, `host` or an IP address are answered."""
    trusted_proxies: Names = ()
    """Addresses or networks of the proxies before the dashboard, such as 10.0.0.7 or 10.0.0.0/24. What they
    say of the caller's address, of encryption and of the user is believed."""
    user_header: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,99}$")] | None = None
    """Header in which a trusted proxy names the user, such as X-Forwarded-User; null: users log in here."""
    default_role: Literal["viewer", "editor"] | None = None
    """Role of users that the proxy names and `tastemaker users` does not know; null: they are refused."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                network = ip_network(proxy, strict=False)
            except ValueError:
                raise ValueError(f"{proxy!r} is not an address or a network such as 10.0.0.0/24") from None
            if network.prefixlen == 0:
                raise ValueError(f"{proxy!r} has every address: any caller could name a user")
        return proxies

    @model_validator(mode="after")
    def _header_has_a_proxy(self) -> Self:
        if self.user_header is not None and not self.trusted_proxies:
            raise ValueError("user_header needs trusted_proxies: the addresses that may send it")
        if self.default_role is not None and self.user_header is None:
            raise ValueError("default_role needs user_header: the header that names users")
        return self
