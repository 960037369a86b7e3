"""What the snippet test reads in a page, and what it refuses."""

import pytest
from snippet_pages import PageError, blocks

GOOD = """
# Title

```python
x = 1
```

1. In a list

   ```sh
   ls
   ```

:::{note}
```yaml
name: x
```
:::

````{tip}
:class: dark
```python
# mine/own.py
y = 2
```
````

<!-- not run: it needs a cluster -->
```sh
sbatch job
```

```{code-block} csv
:caption: some.csv

a,b
```

```{code-cell}
never()
```

```text
output
```

<!-- an ordinary comment -->
"""


def read(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text, "utf-8")
    return blocks(page)


def test_blocks_are_found_wherever_they_stand(tmp_path):
    found = read(tmp_path, GOOD)
    assert [(block.language, block.text, block.file) for block in found] == [
        ("python", "x = 1\n", None),
        ("sh", "ls\n", None),
        ("yaml", "name: x\n", None),
        ("python", "# mine/own.py\ny = 2\n", "mine/own.py"),
        ("csv", "a,b\n", "some.csv"),
    ]
    lines = GOOD.splitlines()
    for block in found:
        assert lines[block.line - 1].strip() == block.text.partition("\n")[0]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("a\n\n```\nls\n```\n", 3, "a block in 'no language'", id="without a language"),
        pytest.param("```bash\nls\n```\n", 1, "a block in 'bash'; known are python, sh", id="another language"),
        pytest.param("```{code-block} json\n{}\n```\n", 1, "a block in 'json'", id="a directive's language"),
        pytest.param("```{mystery}\n```\n", 1, "'{mystery}' is not known", id="another directive"),
        pytest.param("<!-- not-run -->\n```sh\nls\n```\n", 1, "write `<!-- not run: reason -->`", id="another marker"),
        pytest.param("<!-- skip -->\n```sh\nls\n```\n", 1, "found '<!-- skip -->'", id="a marker of others"),
        pytest.param("<!-- not run: -->\n```sh\nls\n```\n", 1, "write `<!-- not run: reason -->`", id="no reason"),
        pytest.param("<!-- not run: why -->\n\nText.\n", 1, "stands before no block", id="a marker of nothing"),
        pytest.param("a\n\n<!-- not run: why -->\n", 3, "stands before no block", id="a marker at the end"),
        pytest.param("a\n\n    ls\n", 3, "an indented block", id="indented"),
        pytest.param(":::{note}\nA.\n\n```bash\nls\n```\n:::\n", 4, "a block in 'bash'", id="inside a note"),
    ],
)
def test_what_nobody_would_run_is_refused(tmp_path, text, line, words):
    with pytest.raises(PageError) as raised:
        read(tmp_path, text)
    assert f"page.md:{line}: " in str(raised.value)
    assert words in str(raised.value)
