"""How results look: words, pages, plots; in HTML, Markdown and the terminal."""
