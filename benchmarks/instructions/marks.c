/* What count.c counts between: NOPs on hardware. */
void mark_begin(void);
void mark_end(void);

void mark_begin(void) { __asm__ volatile("hint #0x20"); }
void mark_end(void) { __asm__ volatile("hint #0x21"); }
