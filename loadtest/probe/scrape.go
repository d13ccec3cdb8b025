package probe

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// maxScrape is the longest page of metrics that is read.
const maxScrape = 16 << 20

// Scrape reads a page of metrics in Prometheus' text format. Its result is each
// sample by its name with labels. Buckets of histograms are left out, of which
// there are many; infinities and NaN too, which JSON cannot hold.
func Scrape(ctx context.Context, client *http.Client, url string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/plain;version=0.0.4")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(response.Body, maxScrape))
	if err != nil {
		return nil, fmt.Errorf("%s is no page of metrics: %w", url, err)
	}
	values := map[string]float64{}
	for _, family := range families {
		samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{Timestamp: model.TimeFromUnix(time.Now().Unix())}, family)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", url, err)
		}
		for _, sample := range samples {
			value := float64(sample.Value)
			if _, bucket := sample.Metric[model.BucketLabel]; bucket || math.IsNaN(value) || math.IsInf(value, 0) {
				continue
			}
			values[sample.Metric.String()] = value
		}
	}
	return values, nil
}
