// Command controlplane is kube-apiserver, kube-controller-manager, etcd and
// kubectl in one binary, so that tests, benches and the demo can run real
// Kubernetes API servers on a machine that has only a Go toolchain and a
// module proxy: there is no prebuilt server to download.
//
// Which of them it is comes from the name it was called by (the callers make
// links), or else from its first argument.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// exitWithStdin names the environment variable that ties this process to the
// one that started it: set to 1, the process ends when its standard input
// does. A parent that is killed outright cannot clean up, but the kernel
// closes its end of the pipe.
const exitWithStdin = "RIMWARD_EXIT_WITH_STDIN"

// programs maps a name to what it runs; each returns the exit code.
var programs = map[string]func() int{
	"kube-apiserver":          func() int { return cli.Run(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() int { return cli.Run(controllermanager.NewControllerManagerCommand()) },
	"etcd":                    func() int { etcdmain.Main(os.Args); return 0 },
	"kubectl": func() int {
		// As kubectl's own main: CheckErr prints as people know it, and exits.
		kubectlutil.CheckErr(cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()))
		return 0
	},
}

func main() {
	name := filepath.Base(os.Args[0])
	if _, known := programs[name]; !known && len(os.Args) > 1 {
		name = os.Args[1]
		os.Args = append([]string{name}, os.Args[2:]...)
	}
	run, known := programs[name]
	if !known {
		fmt.Fprintln(os.Stderr, "usage: controlplane kube-apiserver|kube-controller-manager|etcd|kubectl [flags]")
		os.Exit(2)
	}
	if os.Getenv(exitWithStdin) == "1" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(1)
		}()
	}
	os.Exit(run())
}
