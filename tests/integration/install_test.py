"""`cmake --install`: a C program is built with what was installed, by pkg-config and by CMake, and says what `marquee` says."""
import json
import os
import re
import shutil
import subprocess
import unittest

from programs import BIN, ProgramTest, Server, marquee

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
EXAMPLE = os.path.join(ROOT, "docs", "examples", "recommend.c")
CALLS = r"""
#include <marquee/marquee.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	const struct marquee_who who = {.age_years = 25, .gender = "F", .occupation = "programmer"}, nobody = {.gender = "F"};
	const struct marquee_filter filter = {.genre = "comedy", .years = "1980-2005"};
	struct marquee_movie movies[3];
	double stars = 0;
	int closed = marquee_close(NULL);
	char first[100];
	snprintf(first, sizeof(first), "%d %s", closed, marquee_error());
	struct marquee_model *model = marquee_open(argv[argc - 1]);
	int found = marquee_recommend(model, &who, &filter, movies, 3);
	for (int i = 0; i < found; i++)
		printf("%llu %.6f %s\n", (unsigned long long)movies[i].id, movies[i].stars, movies[i].title);
	if (marquee_predict(model, &who, 5, &stars) == 0)
		printf("%.6f\n", stars);
	found = marquee_recommend(model, &who, &(struct marquee_filter){.genre = "Nonsense"}, movies, 3);
	printf("%d %s\n", found, marquee_error());
	found = marquee_recommend(model, &who, &(struct marquee_filter){.years = "1234"}, movies, 3);
	printf("%d %s\n", found, marquee_error());
	found = marquee_predict(model, &nobody, 5, &stars);
	printf("%d %s\n%s\n", found, marquee_error(), first);
	return marquee_close(model);
}
"""
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(example LANGUAGES C)
find_package(marquee REQUIRED)
add_executable(recommend {source})
target_link_libraries(recommend PRIVATE marquee::marquee)
"""


class Installed(ProgramTest):
    ratings = 3000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prefix, checkpoints, cls.model = (os.path.join(cls.class_scratch.name, n) for n in ("usr", "checkpoints", "model"))
        cls.run_tool("cmake", "--install", os.path.dirname(BIN), "--prefix", cls.prefix)
        cls.libraries = os.path.join(cls.prefix, "lib")
        for directory, _, files in os.walk(cls.prefix):
            if "libmarquee.pc" in files:
                cls.pkg_config, cls.libraries = directory, os.path.dirname(directory)
        marquee("train", "--data", cls.data, "--epochs", 1, "--checkpoint-dir", checkpoints).digest()
        if marquee("export", "--checkpoint", checkpoints, "--out", cls.model).code != 0:
            raise AssertionError("export")

    @classmethod
    def run_tool(cls, *arguments, **variables):
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=100, env={**os.environ, **variables})
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def recommends(self, program):
        said = self.run_tool(program, self.model, LD_LIBRARY_PATH=self.libraries)
        wanted = marquee("recommend", "--model", self.model, "--user", 1, "--top", 1, "--json")
        best, = json.loads(wanted.out)["recommendations"]
        self.assertEqual(said, best["title"] + "\n")

    def test_pkg_config(self):
        flags = self.run_tool("pkg-config", "--cflags", "--libs", "libmarquee", PKG_CONFIG_PATH=self.pkg_config).split()
        program = self.path("recommend")
        self.run_tool("cc", "-Wall", "-Wextra", "-Werror", EXAMPLE, "-o", program, *flags)
        self.recommends(program)
        failed = subprocess.run([program, self.data], capture_output=True, text=True,
                                env={**os.environ, "LD_LIBRARY_PATH": self.libraries})
        self.assertEqual((failed.returncode, failed.stdout), (1, ""))
        self.assertIn("not a model directory", failed.stderr)
        with open(EXAMPLE) as file:
            self.assertEqual(len(file.readlines()), 10)

    def test_every_call_answers_and_fails_as_the_header_says(self):
        flags = self.run_tool("pkg-config", "--cflags", "--libs", "libmarquee", PKG_CONFIG_PATH=self.pkg_config).split()
        source, program = self.path("calls.c"), self.path("calls")
        with open(source, "w") as file:
            file.write(CALLS)
        self.run_tool("cc", "-Wall", "-Wextra", "-Werror", source, "-o", program, *flags)
        said = self.run_tool(program, self.model, LD_LIBRARY_PATH=self.libraries).splitlines()
        someone = "--age", 25, "--gender", "F", "--occupation", "programmer"
        wanted = json.loads(marquee("recommend", "--model", self.model, *someone, "--genre", "Comedy", "--year", "1980-2005",
                                    "--top", 3, "--json").out)["recommendations"]
        stars = json.loads(marquee("predict", "--model", self.model, *someone, "--movie", 5, "--json").out)["stars"]
        self.assertEqual(said[:-5], [f"{m['id']} {m['stars']:.6f} {m['title']}" for m in wanted])
        self.assertEqual(said[-5], f"{stars:.6f}")
        for line, status, text in zip(said[-4:], (-5, 0, 3, 9), ("genre 'Nonsense'", "no movie passes", "all three of age", "no model is open")):
            self.assertTrue(line.startswith(f"{status} "), line)
            self.assertIn(text, line)

    def test_cmake(self):
        with open(self.path("CMakeLists.txt"), "w") as file:
            file.write(PROJECT.format(source=EXAMPLE))
        build = self.path("build")
        self.run_tool("cmake", "-G", "Ninja", "-S", self.scratch, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}")
        self.run_tool("cmake", "--build", build)
        self.recommends(os.path.join(build, "recommend"))

    def test_only_the_interface_is_exported(self):
        names = self.run_tool("nm", "-D", "--defined-only", os.path.join(self.libraries, "libmarquee.so"))
        found = {line.split()[-1].split("@")[0] for line in names.splitlines() if " T " in line}
        self.assertEqual(found, {"marquee_open", "marquee_close", "marquee_predict", "marquee_recommend", "marquee_error"})

    def complete(self, *words):
        """What bash would offer for the last of the words."""
        script = """source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _marquee; printf '%s\\n' "${COMPREPLY[@]}" """
        completions = os.path.join(self.prefix, "share", "bash-completion", "completions", words[0])
        return self.run_tool("bash", "-c", script, "bash", completions, os.path.join(self.prefix, "bin", words[0]),
                             *words[1:]).split()

    def test_completion(self):
        self.assertEqual(self.complete("marquee", "rec"), ["recommend"])
        self.assertEqual(self.complete("marquee", "recommend", "--gen"), ["--gender", "--genre"])
        self.assertEqual(self.complete("marquee", "recommend", "--gender", ""), ["M", "F"])
        self.assertEqual(self.complete("marquee", "train", "--mode", "s"), ["sync", "ssp"])
        self.assertEqual(self.complete("marquee", "export", "--rows", ""), ["f32", "bf16", "int8"])
        self.assertEqual(self.complete("worker", "--optimizer", "ada"), ["adagrad", "adam"])
        self.assertEqual(self.complete("marquee", "movies", ""), ["add", "update", "remove", "list"])
        self.assertEqual(self.complete("pserver", "--tls"), ["--tls-cert", "--tls-key", "--tls-ca"])
        self.assertIn("--servers", self.complete("worker", "--ser"))

    def test_manual_pages_are_there_and_well_formed(self):
        """Of every program and command, with every option that --help has."""
        pages = os.path.join(self.prefix, "share", "man", "man1")
        commands = re.findall(r"(?m)^  ([a-z]+)  ", self.run_tool(os.path.join(self.prefix, "bin", "marquee"), "help"))
        commands.remove("help")
        self.assertIn("train", commands)
        about = {f"marquee-{command}": ("marquee", command) for command in commands}
        about |= {name: (name,) for name in ("marquee", "pserver", "worker")}
        self.assertEqual(set(os.listdir(pages)), {f"{name}.1" for name in about})
        for name, command in about.items():
            page = os.path.join(pages, name + ".1")
            with open(page) as file:
                text = file.read().replace("\\-", "-")
            said = self.run_tool(os.path.join(self.prefix, "bin", command[0]), *command[1:], "--help")
            for option in re.findall(r"(?m)^  (--[a-z0-9-]+)", said):
                self.assertIn(f"\\fB{option}\\fR", text, name)
            for section in "NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO":
                self.assertIn(f"\n.SH {section}\n", text, name)
            for other in re.findall(r"(?m)^\.BR (\S+) \(1\)", text):
                self.assertIn(other, about, name)
            if shutil.which("man"):
                shown = subprocess.run(["man", "--warnings", "--local-file", "--pager", "cat", page], capture_output=True, text=True,
                                       timeout=60, env={**os.environ, "MANWIDTH": "80", "MANROFFOPT": "-ww"})
                self.assertEqual((shown.returncode, shown.stderr), (0, ""), name)
                self.assertIn("SYNOPSIS", shown.stdout)
            if shutil.which("mandoc"):
                self.run_tool("mandoc", "-T", "lint", "-W", "warning", page)

    def test_service_runs_the_server(self):
        with open(os.path.join(self.prefix, "lib", "systemd", "system", "pserver.service")) as file:
            unit = file.read()
        self.assertRegex(unit, r"(?m)^ExecStart=/\S+/bin/pserver \$PSERVER_OPTIONS$")
        options = re.search(r'(?m)^Environment="PSERVER_OPTIONS=(.+)"$', unit).group(1).split()
        server = Server("0/1", options[options.index("--listen") + 1].replace(":5555", ":0"))
        self.lines.append(server)
        self.assertEqual(len(options), 2)

    def test_programs_are_there(self):
        for name in "marquee", "worker", "pserver":
            self.assertIn("usage", self.run_tool(os.path.join(self.prefix, "bin", name), "--help"))


if __name__ == "__main__":
    unittest.main()
