"""The admin's pages of repricing."""

from apps.repricing.admin.page import RepricingAdmin

__all__ = ["RepricingAdmin"]
