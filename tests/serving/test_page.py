"""The page, in a real browser and without a script."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
import requests

import hfspec
from tests.runtime.images import file_of, picture
from tests.serving.browser import MISSING, browser
from tests.serving.servers import entries, serving

in_browser = pytest.mark.skipif(bool(MISSING), reason=MISSING)
ENTER, TAB = "\ue007", "\ue004"
PICTURE = file_of(picture(3))
KEY = "a-user-key-of-tests"


class Forms(HTMLParser):
    """The fields of each form, by the model it is for; scripts and styles that stand in the page itself."""

    def __init__(self, text):
        super().__init__()
        self.fields, self.inline, self.addresses, self.at = {}, [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "form":
            assert (found["action"].split("#")[0], found["method"]) == ("/try", "post")
            self.at = []
        elif tag in {"input", "textarea", "select"} and self.at is not None:
            self.at.append(found["name"])
            if found["name"] == "model":
                self.fields[found["value"]] = self.at
        self.inline += [tag for name in found if name == "style" or name.startswith("on")]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in found) else []
        self.addresses += [found[name] for name in ("src", "href", "action") if name in found]


def tried(served, name, files=(), status=200, headers=None, **fields):
    sent = {"model": (None, name), **{f"row.{key}": (None, value) for key, value in fields.items()}, **dict(files)}
    answer = requests.post(f"{served.url}/try", files=sent, timeout=60, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.text


def test_every_model_has_a_form_of_its_signature(served):
    found = Forms(served.get("/").text)
    assert set(found.fields) == set(served.artifacts)
    assert found.fields["sentiment"][:3] == ["model", "row.text", "row.text_pair"]
    assert "row.image" in found.fields["vit"]
    assert {"row.query", "row.documents"} <= set(found.fields["reranker"])


def test_nothing_comes_from_outside_or_stands_in_the_page_itself(served):
    answer = served.get("/")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(re.split(r"; ", policy))
    found = Forms(answer.text)
    assert not found.inline
    assert all(address.startswith(("/", "#", "data:,")) and address[:2] != "//" for address in found.addresses)
    for name in ("page.css", "page.js"):
        text = served.get(f"/{name}").text
        assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg"}


def test_the_form_is_answered_without_a_script(served):
    wanted = hfspec.load(served.artifacts["sentiment"]).predict("a <bad> day")
    page = tried(served, "sentiment", text="a <bad> day")
    assert f"<td>{wanted['label'][0]}</td><td>{wanted['score'][0]:.4f}</td>" in page
    assert "a &lt;bad&gt; day</textarea>" in page
    assert f"[{hfspec.load(served.artifacts['embedder']).predict('good')[0][0]:.4f}, " in tried(
        served, "embedder", text="good"
    )
    label = hfspec.load(served.artifacts["vit"]).predict([PICTURE])["label"][0]
    assert f"<td>{label}</td>" in tried(served, "vit", {"row.image": ("a.png", PICTURE)})
    assert 'class="text"' in tried(served, "assistant", messages="hello", max_tokens="3")
    assert "2 numbers" in tried(served, "reranker", query="a", documents="b\nc")


def test_what_the_model_refuses_is_said_in_the_page(served):
    assert 'role="alert"' in tried(served, "vit", {"row.image": ("a.png", b"no picture at all, but text")}, status=400)
    assert "max_tokens" in tried(served, "assistant", status=400, messages="hello", max_tokens="many")
    assert "nobody" in tried(served, "nobody", status=404, text="a")
    cross = {"sec-fetch-site": "cross-site"}
    assert "from this page" in tried(served, "sentiment", status=403, headers=cross, text="a")
    assert requests.post(f"{served.url}/try", data="x", timeout=60).status_code == 415


def test_stats_count_each_request_once(served):
    before = served.get("/stats").json()["models"]["splade"]
    for _ in range(3):
        served.post("/models/splade/predict", {"inputs": ["good", "bad"]})
    after = served.get("/stats").json()["models"]["splade"]
    assert after["requests"] - before["requests"] == after["latency"][-1] - before["latency"][-1] == 3
    assert after["latency"] == sorted(after["latency"])


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(chromium, served):
    chromium.faults()
    chromium.size(1280, 900)
    chromium.scheme("light")
    chromium.open(f"{served.url}/")
    yield chromium
    assert chromium.faults() == []


@in_browser
def test_a_text_is_tried_by_keyboard_alone(page, served):
    page.press(TAB)
    assert page.run("return document.activeElement.className") == "skip"
    page.run("document.querySelector('#sentiment-text').focus()")
    page.write("#sentiment-text", "a fine day")
    page.press(TAB, TAB)
    assert page.run("return document.activeElement.type") == "submit"
    page.press(ENTER)
    wanted = hfspec.load(served.artifacts["sentiment"]).predict("a fine day")
    found = page.wait(lambda: page.text("#sentiment .answer"))
    assert wanted["label"][0] in found
    assert f"{wanted['score'][0]:.3f}" in found
    for name in ("curl", "python"):
        assert "a fine day" in page.run(f"return document.querySelector('#sentiment [data-show={name}]').textContent")


@in_browser
def test_the_python_of_the_page_gives_the_answer(page, served):
    page.write("#sentiment-text", 'it\'s "fine"\nétoile')
    text = page.run("return document.querySelector('#sentiment [data-show=python]').textContent")
    said = []
    exec(text, {"print": said.append, "__builtins__": {"__import__": __import__}})
    assert said[0][0]["label"] == hfspec.load(served.artifacts["sentiment"]).predict('it\'s "fine"\nétoile')["label"][0]


@in_browser
def test_a_chat_streams_and_goes_on(page):
    page.run(
        "const list = document.querySelector('#assistant .talk'); window.lengths = [];"
        "new MutationObserver(() => lengths.push(list.textContent.length))"
        ".observe(list, {childList: true, subtree: true, characterData: true})"
    )
    busy = "return document.querySelectorAll('#assistant .assistant:not([aria-busy])').length"
    for number in (1, 2):
        page.write("#assistant-messages", "hello")
        page.press(ENTER)
        page.wait(lambda number=number: page.run(busy) == number or page.text("#assistant .error"))
        page.wait(lambda: not page.run("return document.querySelector('#assistant button[type=submit]').disabled"))
    assert not page.text("#assistant .error")
    assert len(set(page.run("return lengths"))) > 4


@in_browser
def test_a_file_is_sent(page, served, tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(PICTURE)
    page.write("#vit-image", str(file), clear=False)
    page.click("#vit button[type=submit]")
    label = hfspec.load(served.artifacts["vit"]).predict([PICTURE])["label"][0]
    assert label in page.wait(lambda: page.text("#vit .answer"))


@in_browser
def test_an_error_is_an_alert(page):
    page.write("#assistant-messages", "[1]")
    page.click("#assistant button[type=submit]")
    assert page.wait(lambda: page.text("#assistant .answer [role=alert]"))
    page.run("document.querySelector('#assistant .answer').replaceChildren()")
    page.faults()  # the browser notes the status too


@in_browser
def test_plots_are_drawn_of_what_was_asked(page, served):
    served.post("/models/sentiment/predict", {"inputs": "good"})
    page.wait(lambda: page.run("return document.querySelectorAll('#sentiment svg polyline').length") == 4)


@in_browser
def test_it_fits_a_phone_in_light_and_dark(page, served):
    page.size(390, 844)
    for path in ("/", "/docs"):
        page.open(served.url + path)
        page.run("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert page.run("return document.documentElement.scrollWidth") <= 390, path
    grounds = []
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        grounds.append(page.run("return getComputedStyle(document.body).backgroundColor"))
    assert len(set(grounds)) == 2


@in_browser
def test_it_works_where_scripts_are_off(page, served):
    page.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(f"{served.url}/")
        page.click("#sentiment button[type=submit]")
        page.wait(lambda: page.find(".answer td"))
    finally:
        page.devtools("Emulation.setScriptExecutionDisabled", value=False)


def test_a_browser_is_asked_for_the_key(tmp_path, build, checkpoint, monkeypatch):
    monkeypatch.setenv("USER_KEY", KEY)
    made = {"sentiment": build(checkpoint("bert-sentiment"), "text-classification")}
    fleet = {"models": entries(made), "server": {"api_keys": {"keys": [{"name": "u", "key": "${oc.env:USER_KEY}"}]}}}
    with serving(tmp_path, fleet, made) as served:
        for path in ("/", "/docs", "/stats", "/openapi.json"):
            refused = served.get(path)
            assert refused.status_code == 401, path
            assert "sentiment" not in refused.text
            assert served.get(path, auth=("any", KEY)).status_code == 200
        assert served.get("/").headers["www-authenticate"].startswith("Basic ")
        assert served.get("/page.css").status_code == 200
        body = {"inputs": "good"}
        path = "/models/sentiment/predict"
        assert served.post(path, body, auth=("any", KEY)).status_code == 200
        assert served.post(path, body, auth=("any", KEY + "x")).status_code == 401
        for site in ("cross-site", "same-site"):  # a page of another site, in a browser that knows the key
            headers = {"sec-fetch-site": site}
            assert served.post(path, body, auth=("any", KEY), headers=headers).status_code == 401
            assert served.get("/", auth=("any", KEY), headers=headers).status_code == 200  # a link leads here
        assert "Bearer $HFSPEC_API_KEY" in served.get("/", auth=("any", KEY)).text
