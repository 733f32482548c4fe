// SPDX-License-Identifier: GPL-2.0
/* blcpufreq - a cpufreq driver with no hardware behind it, for testing programs that read and set frequencies in a VM.
 * Two policies (little = the first `nlittle` CPUs, big = the rest), a table each, every governor works, setting is
 * remembered and read back. It changes no speed: emulated CPUs run as fast as the host lets them.
 * Parameters: nlittle=4 little=500000,1000000,1400000,1800000 big=...,2400000 (kHz) latency_ns fail=1 (every set -EIO) */
#include <linux/cpufreq.h>
#include <linux/module.h>
#include <linux/version.h>

static unsigned int nlittle = 4;
static unsigned int little[16] = {500000, 1000000, 1400000, 1800000}, big[16] = {600000, 1200000, 1800000, 2400000};
static int nl = 4, nb = 4, fail;
static unsigned int latency_ns = 100000;
module_param(nlittle, uint, 0444);
module_param_array(little, uint, &nl, 0444);
module_param_array(big, uint, &nb, 0444);
module_param(latency_ns, uint, 0444);
module_param(fail, int, 0644);
static struct cpufreq_frequency_table tl[17], tb[17];
static unsigned int cur[2];

static int which(unsigned int cpu) { return cpu >= nlittle; }
static int bl_init(struct cpufreq_policy *p) {
    int w = which(p->cpu), c;

    for_each_possible_cpu(c) if (which(c) == w) cpumask_set_cpu(c, p->cpus);
    p->freq_table = w ? tb : tl;
    p->cpuinfo.transition_latency = latency_ns;
    p->cur = cur[w];
    return 0;
}
static int bl_target(struct cpufreq_policy *p, unsigned int i) {
    if (fail) return -EIO;
    cur[which(p->cpu)] = p->freq_table[i].frequency;
    return 0;
}
static unsigned int bl_get(unsigned int cpu) { return cur[which(cpu)]; }
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static void bl_exit(struct cpufreq_policy *p) {}
#else
static int bl_exit(struct cpufreq_policy *p) { return 0; }
#endif
static struct freq_attr *bl_attr[] = {&cpufreq_freq_attr_scaling_available_freqs, NULL};
static struct cpufreq_driver drv = {
    .name = "blcpufreq",
    .flags = CPUFREQ_HAVE_GOVERNOR_PER_POLICY,
    .init = bl_init,
    .exit = bl_exit,
    .verify = cpufreq_generic_frequency_table_verify,
    .target_index = bl_target,
    .get = bl_get,
    .attr = bl_attr,
};
static void fill(struct cpufreq_frequency_table *t, unsigned int *f, int n) {
    int i;

    for (i = 0; i < n; i++) t[i].frequency = f[i];
    t[n].frequency = CPUFREQ_TABLE_END;
}
static int __init bl_mod(void) {
    fill(tl, little, nl);
    fill(tb, big, nb);
    cur[0] = little[nl - 1];
    cur[1] = big[nb - 1];
    return cpufreq_register_driver(&drv);
}
static void __exit bl_out(void) { cpufreq_unregister_driver(&drv); }
module_init(bl_mod);
module_exit(bl_out);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("big.LITTLE cpufreq driver with no hardware");
