"""The admin's pages of bills, exchange rates, statements and monthly closes."""

from apps.invoicing.admin import bills as bills
from apps.invoicing.admin import closing as closing
from apps.invoicing.admin import rates as rates
from apps.invoicing.admin import statements as statements
