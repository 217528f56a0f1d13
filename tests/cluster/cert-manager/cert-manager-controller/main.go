// Command cert-manager-controller runs those of cert-manager's controllers that issue certificates, by an issuer that
// signs itself and by one that is a CA. cert-manager's own command is in a module that is not published: this starts the
// same controllers by the same registry and with the same defaults, without leader election, metrics, ACME and clouds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

// How many objects each controller works on at a time, as in cert-manager's own command.
const workers = 5

// The longest and shortest pause after an issuance that failed, as in cert-manager's own command.
const (
	shortestBackoff = time.Hour
	longestBackoff  = 32 * time.Hour
)

func main() {
	// Not the common set: packages that are imported have flags of their own there.
	flags := flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the cluster, and as whom")
	if err := flags.Parse(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run starts every registered controller and returns once all have ended.
func run(ctx context.Context, kubeconfig string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		Kubeconfig:    kubeconfig,
		IssuerOptions: controller.IssuerOptions{ClusterResourceNamespace: "cert-manager"},
		CertificateOptions: controller.CertificateOptions{
			CertificateRequestMinimumBackoffDuration: shortestBackoff,
			CertificateRequestMaximumBackoffDuration: longestBackoff,
		},
	})
	if err != nil {
		return fmt.Errorf("cannot reach the cluster: %w", err)
	}
	shared, err := factory.Build()
	if err != nil {
		return fmt.Errorf("cannot make clients: %w", err)
	}
	var names []string
	for name := range controller.Known() {
		names = append(names, name)
	}
	slices.Sort(names)
	ended := make(chan error)
	for _, name := range names {
		built, err := controller.Known()[name](factory)
		if err != nil {
			return fmt.Errorf("cannot make the controller %s: %w", name, err)
		}
		fmt.Println("starting", name)
		go func() {
			if err := built.Run(workers, ctx); err != nil {
				ended <- fmt.Errorf("the controller %s ended: %w", name, err)
				return
			}
			ended <- nil
		}()
	}
	// Only now every controller has asked for the informers it needs.
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	var first error
	for range names {
		if err := <-ended; err != nil && first == nil {
			first = err
			stop()
		}
	}
	return first
}
