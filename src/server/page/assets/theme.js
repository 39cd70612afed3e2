// Applies the chosen colours before the page is drawn. A classic script, because modules run after that.
try {
  const theme = localStorage.getItem('reprise-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the colours of the system.
}
