import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "path",
    ["/admin/audit/auditevent/?q=%00", "/admin/%00/", "/sign-in/?next=%00", "/oauth/token?a=b%00c"],
)
def test_an_address_with_a_nul_is_refused(path):
    assert Client().get(path).status_code == 400


@pytest.mark.parametrize("path", ["/oauth/token", "/sign-in/", "/oauth/register"])
def test_a_form_with_a_nul_is_refused(path):
    answer = Client().post(path, "username=a%00b&grant_type=%00", content_type=FORM)
    assert answer.status_code == 400


def test_other_requests_pass():
    assert Client().get("/sign-in/?next=/admin/").status_code == 200
