// Compiles every pattern of the given contracts in the regex engines of the languages that clients are written in. An engine that
// is not installed is skipped, and a line says so; without any but this one's own, or with CI=true, the check fails.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The patterns of a document in YAML, as `crm` writes it: each on a line of its own, plain or in single quotes. */
function patternsOf(file) {
  const found = [];
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const text = /^\s*(?:- )?pattern: (.+)$/.exec(line)?.[1];
    if (text === undefined) continue;
    if (/^["|>]/.test(text)) throw new Error(`${file}: a pattern that is written in another way: ${text}`);
    found.push(text.startsWith("'") ? text.slice(1, -1).replaceAll("''", "'") : text);
  }
  return found;
}

const files = process.argv.slice(2);
const patterns = [...new Set(files.flatMap(patternsOf))];
if (patterns.length === 0) throw new Error(`no pattern in ${files.join(", ")}`);

const java = `import java.nio.file.*; import java.util.regex.*;
class Patterns { public static void main(String[] files) throws Exception {
  for (String pattern : Files.readAllLines(Path.of(files[0]))) Pattern.compile(pattern);
} }`;
const go = `package main
import ("bufio"; "os"; "regexp")
func main() { file, _ := os.Open(os.Args[1]); lines := bufio.NewScanner(file)
  for lines.Scan() { regexp.MustCompile(lines.Text()) } }`;
const php = `foreach (file($argv[1], FILE_IGNORE_NEW_LINES) as $pattern) foreach (["", "u"] as $flags)
  if (preg_match("\\x01$pattern\\x01$flags", "") === false) { fwrite(STDERR, $pattern); exit(1); }`;
const python = "import re, sys\nfor line in open(sys.argv[1]): re.compile(line.rstrip('\\n'))";
const ruby = "File.foreach(ARGV[0], chomp: true) { |pattern| Regexp.new(pattern) }";
const perl = 'while (<>) { chomp; qr/$_/ or die }';
// grep says 1 where nothing matches, and 2 where the pattern does not compile.
const pcre = 'while IFS= read -r pattern; do grep -qP -e "$pattern" </dev/null || [ $? = 1 ] || exit 2; done <"$1"';

const directory = mkdtempSync(join(tmpdir(), "patterns-"));
const write = (name, text) => (writeFileSync(join(directory, name), text), join(directory, name));
const list = write("patterns.txt", patterns.map((pattern) => `${pattern}\n`).join(""));
const engines = [
  ["Python", ["python3", "--version"], ["python3", "-c", python, list]],
  ["Java", ["java", "-version"], ["java", write("Patterns.java", java), list]],
  ["PCRE (grep -P)", ["grep", "-qP", "x", "/dev/null"], ["bash", "-c", pcre, "-", list]],
  ["PHP", ["php", "--version"], ["php", "-r", php, list]],
  ["Go (RE2)", ["go", "version"], ["go", "run", write("patterns.go", go), list]],
  ["Perl", ["perl", "-v"], ["perl", "-e", perl, list]],
  ["Ruby", ["ruby", "-v"], ["ruby", "-e", ruby, list]],
];

let compiled = 0;
let failed = false;
try {
  for (const pattern of patterns) for (const flags of ["", "u"]) new RegExp(pattern, flags);
  console.log(`${patterns.length} patterns compile in JavaScript`);
  for (const [name, [probe, ...probing], [program, ...rest]] of engines) {
    // grep finds nothing in an empty file: 1.
    if (![0, 1].includes(spawnSync(probe, probing, { stdio: "ignore" }).status)) {
      console.log(`== SKIPPED: ${patterns.length} patterns in ${name}, because it is not installed`);
      failed ||= process.env.CI === "true";
      continue;
    }
    const run = spawnSync(program, rest, { encoding: "utf8" });
    compiled += 1;
    if (run.status === 0) {
      console.log(`${patterns.length} patterns compile in ${name}`);
    } else {
      console.error(`a pattern does not compile in ${name}: ${run.stderr || run.error}`);
      failed = true;
    }
  }
} finally {
  rmSync(directory, { recursive: true });
}
if (failed || compiled === 0) process.exit(1);
