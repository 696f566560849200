"""How tests ask the page, and how they know that it has answered."""

SHOWN = "document.querySelectorAll('#results li').length"
ANSWERED = (
    "!document.body.classList.contains('busy') && document.querySelector('#status').innerText.includes('best first')"
)


def find(page, text):
    page.run("document.querySelector('#text').focus(); document.querySelector('#text').select()")
    page.type(text)
    page.key("Enter")
