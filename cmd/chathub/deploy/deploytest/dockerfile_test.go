package deploytest

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// image is what the Dockerfile makes, laid out in a directory as far as its files go.
type image struct {
	dir           string
	uid, gid      uint32
	workDir, port string
	volume        string
	entrypoint    []string
	check         []string
}

// build does what docker build would, with this machine in place of the golang image. It parses
// with BuildKit's own parser, and refuses an instruction that it does not know how to do.
func build(t *testing.T) image {
	t.Helper()
	ast, err := parser.Parse(bytes.NewReader(read(t, "Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	if len(ast.Warnings) > 0 {
		t.Errorf("BuildKit warns: %v", ast.Warnings)
	}
	stages, _, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 2 || !strings.HasPrefix(stages[0].BaseName, "golang:") || stages[1].BaseName != "scratch" {
		t.Fatalf("stages %v", stages)
	}
	out := t.TempDir() // stands for the build stage's /out
	for _, command := range stages[0].Commands {
		run, ok := command.(*instructions.RunCommand)
		if !ok || strings.HasPrefix(run.CmdLine[0], "go mod download") {
			continue // the sources are here
		}
		shell := exec.Command("sh", "-ec", strings.ReplaceAll(run.CmdLine[0], "/out/", out+"/"))
		shell.Dir, shell.Env = root, append(os.Environ(), "VERSION=v9.8.7", "COMMIT=abc")
		if said, err := shell.CombinedOutput(); err != nil {
			t.Fatalf("RUN %s: %v\n%s", run.CmdLine[0], err, said)
		}
	}

	im := image{dir: t.TempDir(), workDir: "/"}
	if err := os.Chmod(im.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, command := range stages[1].Commands {
		switch c := command.(type) {
		case *instructions.CopyCommand:
			im.copy(t, out, c)
		case *instructions.UserCommand:
			im.uid, im.gid = ids(t, c.User)
		case *instructions.WorkdirCommand:
			im.workDir = c.Path
		case *instructions.VolumeCommand:
			im.volume = c.Volumes[0]
		case *instructions.ExposeCommand:
			im.port = c.Ports[0]
		case *instructions.HealthCheckCommand:
			im.check = c.Health.Test
		case *instructions.EntrypointCommand:
			im.entrypoint = c.CmdLine
		default:
			t.Fatalf("the Dockerfile has %s", c.Name())
		}
	}
	return im
}

// copy is COPY --from=build.
func (im *image) copy(t *testing.T, out string, c *instructions.CopyCommand) {
	t.Helper()
	from := strings.Replace(c.SourcePaths[0], "/out/", out+"/", 1)
	to := filepath.Join(im.dir, c.DestPath)
	if strings.HasSuffix(c.DestPath, "/") {
		to = filepath.Join(to, filepath.Base(from))
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command("cp", "-RL", from, to).CombinedOutput(); err != nil {
		t.Fatalf("COPY %s: %s", c.SourcePaths[0], said)
	}
	if c.Chown == "" {
		return
	}
	uid, gid := ids(t, c.Chown)
	if err := os.Chown(to, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
}

// ids reads user:group, in numbers.
func ids(t *testing.T, s string) (uid, gid uint32) {
	t.Helper()
	u, g, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(u, 10, 32)
	m, err2 := strconv.ParseUint(g, 10, 32)
	if err != nil || err2 != nil || n == 0 || m == 0 {
		t.Fatalf("user %q, want numbers that are not root's: a scratch image has no /etc/passwd", s)
	}
	return uint32(n), uint32(m)
}

// run starts a program of the image as a container would: with no other files, as its user.
func (im *image) run(log io.Writer, env, argv []string) *exec.Cmd {
	cmd := &exec.Cmd{Path: argv[0], Args: argv, Dir: im.workDir, Env: env, Stdout: log, Stderr: log}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: im.dir, Credential: &syscall.Credential{Uid: im.uid, Gid: im.gid}}
	return cmd
}

// TestDockerfile needs root, as CI has it, for a root directory of the image's own.
func TestDockerfile(t *testing.T) {
	im := build(t)
	if im.volume != "/data" || im.port != "8080" || len(im.check) != 2 && len(im.check) != 3 || im.check[0] != "CMD" {
		t.Fatalf("%+v", im)
	}
	if entries, err := os.ReadDir(im.dir); err != nil || len(entries) != 3 {
		t.Errorf("the image holds %v, %v", entries, err)
	}
	var said bytes.Buffer
	if err := im.run(&said, nil, append(im.entrypoint, "--version")).Run(); err != nil || !strings.HasPrefix(said.String(), "chathub v9.8.7, commit abc, go") {
		t.Fatalf("--version: %v, %q", err, said.String())
	}

	// Another port than the image's, which may be taken here.
	env := []string{"PORT=" + freePort(t), "MISTRAL_API_KEY=none", "MISTRAL_BASE_URL=http://127.0.0.1:1"}
	check := func() error { return im.run(io.Discard, env, im.check[1:]).Run() }
	if err := check(); err == nil {
		t.Error("it is healthy before it runs")
	}
	for range 2 { // the second finds what the first has left
		var log bytes.Buffer
		cmd := im.run(&log, env, im.entrypoint)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		eventually(t, "it is healthy", func() bool { return check() == nil })
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%v:\n%s", err, log.String())
		}
	}
	if left, err := os.ReadDir(filepath.Join(im.dir, im.volume)); err != nil || len(left) == 0 {
		t.Errorf("%s holds %v, %v", im.volume, left, err)
	}
}
