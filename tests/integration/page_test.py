"""The page of marquee serve in a real browser, held against the API's own answers."""
import os
import sys
import unittest

import browser
from serve_test import ServeTest

HOSTILE = "<b>Bold</b> & <script>document.title = 'x'</script> (1999)"
TITLES = "#list h3"
NEW = {"age": 25, "gender": "F", "occupation": 0}


class PageTest(ServeTest):
    @classmethod
    def prepare(cls):
        path = os.path.join(cls.data, "movies.dat")
        with open(path, encoding="latin-1") as file:
            lines = file.readlines()
        movie, _, genres = lines[16].split("::")
        lines[16] = "::".join((movie, HOSTILE, genres))
        with open(path, "w", encoding="latin-1") as file:
            file.writelines(lines)
        cls.hostile = int(movie)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        super().setUp()
        self.server = self.serve()
        self.url = "http://%s:%d/" % self.server.address
        self.browser.resize(1280, 900)

    def tearDown(self):
        self.assertEqual(self.browser.console(), [])
        fetched = self.browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
        self.assertTrue(fetched)
        self.assertEqual([name for name in fetched if not name.startswith(self.url)], [])
        super().tearDown()

    def open(self, view=""):
        self.browser.open("about:blank")
        self.browser.open(self.url + view)

    def api(self, path, **parameters):
        code, said = self.server.get(path, **parameters)
        self.assertEqual(code, 200, said)
        return said

    def recommended(self, **parameters):
        return [f"{m['rank']}. {m['title']}" for m in self.api("/v1/recommend", **parameters)["recommendations"]]

    def similar(self, **parameters):
        return [f"{m['rank']}. {m['title']}" for m in self.api("/v1/similar", **parameters)["similar"]]

    def shows(self, titles):
        """Waits for just these movies."""
        self.assertTrue(titles)
        self.browser.wait_for("""const shown = [...document.querySelectorAll(arguments[0])].map(e => e.innerText.trim());
                                 return JSON.stringify(shown) === JSON.stringify(arguments[1])""",
                              TITLES, [" ".join(title.split()) for title in titles])

    def test_a_profile_a_genre_and_more_like_this(self):
        page = self.browser
        self.open()
        self.shows(self.recommended(k=10, **NEW))
        page.choose("k", "5")
        for name, value in ("age", 50), ("gender", "M"), ("occupation", 12):
            page.choose(name, str(value))
        who = {"age": 50, "gender": "M", "occupation": 12}
        five = self.recommended(k=5, **who)
        self.assertEqual(len(five), 5)
        self.shows(five)
        genre = self.api("/v1/model")["genres"][1]
        page.choose("genre", genre)
        self.shows(self.recommended(k=5, genre=genre, **who))
        self.assertTrue(all(genre in text for text in page.texts("#list .genres")))
        first = self.api("/v1/recommend", k=5, genre=genre, **who)["recommendations"][0]
        page.click("#list li:first-child .why")
        why = self.api("/v1/recommend/why", movie=first["id"], **who)
        page.wait_for("return document.querySelectorAll('#list li:first-child tr').length === arguments[0]", len(why["features"]))
        gain = why["stars"] - why["features"][0]["without"]
        self.assertIn(f"+{gain:.2f}", page.texts("#list li:first-child tr")[0])
        page.click("#list li:first-child .more")
        self.shows(self.similar(movie=first["id"], genre=genre, k=5))
        self.assertEqual(page.texts("#heading"), ["More like " + " ".join(first["title"].split())])
        page.click("#list li:first-child .why")
        page.wait_for("return document.querySelector('#list li:first-child .because table')")
        page.click("#back")
        self.shows(self.recommended(k=5, genre=genre, **who))

    def test_a_view_has_an_address_and_a_history(self):
        page = self.browser
        self.open("#user=7&year=1980-1999&k=5")
        self.shows(self.recommended(user=7, year="1980-1999", k=5))
        self.assertEqual(page.run("const f = document.forms[0].elements; return [f.user.value, f.from.value, f.to.value, f.k.value]"),
                         ["7", "1980", "1999", "5"])
        page.click("#list li:first-child .more")
        page.wait_for("return document.querySelector('#heading').innerText.startsWith('More like')")
        page.call("POST", "/back", {})
        self.shows(self.recommended(user=7, year="1980-1999", k=5))

    def test_a_movie_by_its_title_and_all_by_keyboard(self):
        page = self.browser
        self.open()
        self.shows(self.recommended(k=10, **NEW))
        page.run("document.querySelector('#find').focus()")
        movie = self.api("/v1/movies", k=1)["movies"][0]
        page.type(movie["title"])
        page.wait_for("return document.querySelector('#found button')?.innerText.trim() === arguments[0]",
                      " ".join(movie["title"].split()))
        tab, enter = "\ue004", "\ue007"
        page.type(tab + enter)
        self.shows(self.similar(movie=movie["id"], k=10))
        self.assertEqual(page.run("return document.activeElement.id"), "movies")
        page.type(tab + enter)  # Back
        self.shows(self.recommended(k=10, **NEW))
        outlines = page.run("""return [...document.querySelectorAll("button, select, input, a")].filter(e => e.tabIndex < 0).length""")
        self.assertEqual(outlines, 0)
        unnamed = page.run("""return [...document.querySelectorAll("select, input")]
                              .filter(e => !e.labels.length || !e.labels[0].innerText.trim() && e.offsetParent).map(e => e.name)""")
        self.assertEqual(unnamed, [])

    def test_titles_are_text(self):
        page = self.browser
        self.open(f"#like={self.hostile}&age=25&gender=F&occupation=0&k=5")
        self.shows(self.similar(movie=self.hostile, k=5))
        self.assertEqual(page.texts("#heading"), ["More like " + HOSTILE])
        self.assertEqual(page.run("return [document.title, document.querySelectorAll('main b, main script').length]"),
                         ["Marquee: what to watch", 0])

    def test_errors_are_said(self):
        page = self.browser
        self.open("#user=123456&k=5")
        said = page.wait_for("return document.querySelector('#status.error')?.innerText")
        self.assertIn("user 123456 is not in this model", said)
        # The browser itself reports the reply with 404.
        self.assertTrue(all("404" in entry["message"] for entry in page.console()))
        self.open("#user=1&genre=" + self.api("/v1/model")["genres"][0] + "&year=1700")
        page.wait_for("return document.querySelector('#status').innerText === 'No movie passes the filters.'")

    def test_it_fits_a_phone(self):
        page = self.browser
        for width in 320, 390, 768, 1280:
            page.resize(width, 800)
            self.open("#user=1&k=10")
            self.shows(self.recommended(user=1, k=10))
            page.click("#list li:first-child .why")
            page.wait_for("return document.querySelector('#list li:first-child .because table')")
            self.assertLessEqual(page.run("return document.documentElement.scrollWidth"), width)
            small = page.run("""return [...document.querySelectorAll("button, select, input:not([type=radio])")]
                                .filter(e => e.offsetParent && e.offsetHeight < 40).length""")
            self.assertEqual(small, 0)
            keep = os.environ.get("MARQUEE_SCREENSHOTS")
            if keep:
                page.screenshot(os.path.join(keep, f"page-{width}.png"))


if __name__ == "__main__":
    if not browser.available():
        print("skipped: there is no chromium with chromedriver")
        sys.exit(77)
    unittest.main()
