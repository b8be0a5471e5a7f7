"""What the service promises, asked of it without a network."""

import unittest
from wsgiref.util import setup_testing_defaults

from app import LINKS, app


def get(path):
    """The status and the headers of an answer, and its text."""
    environ = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    told = {}

    def start_response(status, headers, exc_info=None):
        told.update(status=status, headers=dict(headers))

    body = b"".join(app(environ, start_response))
    return told["status"], told["headers"], body.decode()


class Links(unittest.TestCase):
    def test_the_index_names_all(self):
        status, _, text = get("/")
        self.assertEqual((status, text.split()), ("200 OK", sorted(LINKS)))

    def test_a_name_leads_to_its_address(self):
        status, headers, _ = get("/oci")
        self.assertEqual((status[:3], headers["Location"]), ("302", LINKS["oci"]))

    def test_an_unknown_name_is_not_found(self):
        self.assertEqual(get("/nothing")[0], "404 Not Found")
