"""marquee serve's /metrics: Prometheus's own parser reads it, and its numbers are what happened."""
import unittest
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

import serve_test
from http_client import DEADLINE_S


class Metrics(serve_test.ServeTest):
    def scrape(self, server):
        with urllib.request.urlopen("http://%s:%d/metrics" % server.address, timeout=DEADLINE_S) as reply:
            text = reply.read().decode()
            self.assertTrue(reply.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        values = {}
        for family in text_string_to_metric_families(text):
            self.assertTrue(family.type != "unknown" and family.documentation, family)
            for sample in family.samples:
                key = (sample.name, *(value for _, value in sorted(sample.labels.items())))
                self.assertNotIn(key, values)
                values[key] = sample.value
        return values

    def test_requests_are_counted_by_path_and_code(self):
        server = self.serve()
        for user in 1, 2, 3:
            server.get("/v1/recommend", user=user)
        server.get("/v1/recommend", user=9999)
        server.get("/v1/recommend", user="x")
        server.get("/nowhere")
        server.get("/v1/model", method="POST")
        server.process.send_signal(1)
        server.wait_for("serving a new model, of step 3")
        values = self.scrape(server)
        requests = "marquee_http_requests_total"
        self.assertEqual({key[1:]: value for key, value in values.items() if key[0] == requests},
                         {("200", "/v1/recommend"): 3, ("404", "/v1/recommend"): 1, ("400", "/v1/recommend"): 1,
                          ("404", "other"): 1, ("405", "other"): 1})
        seconds = "marquee_http_handler_seconds"
        self.assertEqual(values[seconds + "_count", "/v1/recommend"], 5)
        self.assertGreater(values[seconds + "_sum", "/v1/recommend"], 0)
        self.assertEqual(values["marquee_model_reloads_total", "served"], 1)
        self.assertEqual(values["marquee_models_open",], 1)
        self.assertEqual(values["marquee_model_step",], 3)
        self.assertEqual(self.scrape(server)[requests, "200", "/metrics"], 1)


if __name__ == "__main__":
    unittest.main()
